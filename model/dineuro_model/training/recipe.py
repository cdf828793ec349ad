"""What a training run is told: one TOML file, read whole and checked before anything starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import read_bytes
from dineuro_model.network.network import NetworkConfig
from dineuro_model.tables import from_table
from dineuro_model.training.losses import LossWeights
from dineuro_model.training.sampling import Case, Rendered

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How it is trained.

    Attributes:
        seed: of weights and data.
        steps: in all.
        batch: windows a step.
        learning_rate: of the U-Net and of all that is new, at its highest.
        vit_learning_rate: of the ViT's last block.
        layer_decay: each block below has this share of the one above.
        weight_decay: of matrices and kernels.
        warmup: steps of linear rise; a cosine falls to a hundredth after it.
        ema: decay of the averaged weights, which are those that are kept.
        clip: of the gradient's norm.
        bf16: whether to compute in bfloat16 where it is safe and the processor has instructions for
            it; others would imitate it, many times slower than float32.
        device: "auto" takes CUDA where there is one.
        threads: of the CPU; 0 leaves it to torch.
        deterministic: refuse operations that may differ from run to run.
        log_every: steps between rows of the log.
        validate_every: steps between validations; each also writes the averaged weights.
        checkpoint_every: steps between checkpoints.
    """

    seed: int = 1
    steps: int = 8000
    batch: int = 4
    learning_rate: float = 1e-3
    vit_learning_rate: float = 1e-4
    layer_decay: float = 0.8
    weight_decay: float = 0.02
    warmup: int = 200
    ema: float = 0.998
    clip: float = 1.0
    bf16: bool = True
    device: str = "auto"
    threads: int = 0
    deterministic: bool = False
    log_every: int = 10
    validate_every: int = 250
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        positive = (
            self.steps, self.batch, self.log_every, self.validate_every, self.checkpoint_every,
        )  # fmt: skip
        rates = (self.learning_rate, self.vit_learning_rate, self.weight_decay, self.clip)
        if min(positive) < 1 or min(self.seed, self.warmup, self.threads) < 0:
            raise BadParameter("training: steps, batch and intervals must be 1 or more")
        if min(rates) < 0 or not (0 < self.layer_decay <= 1 and 0 <= self.ema < 1):
            raise BadParameter("training: rates must not be negative, decays lie in 0 to 1")
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadParameter(f"training: device {self.device!r}: auto, cpu or cuda")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All of a run.

    Attributes:
        network: what is trained; None is that of `start`, or the default.
        schedule: how.
        loss: towards what.
        rendered: volumes made on the fly.
        training: volumes on disk.
        validation: volumes that are only judged; of other neurons.
        prior: path of a 2D ViT's weights, "hub" for timm's own, "" for none.
        start: path or name of a network to go on from, "" for none.
    """

    network: NetworkConfig | None = None
    schedule: Schedule = field(default_factory=Schedule)
    loss: LossWeights = field(default_factory=LossWeights)
    rendered: Rendered = field(default_factory=Rendered)
    training: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    prior: str = ""
    start: str = ""

    def __post_init__(self) -> None:
        both = {c.volume for c in self.training} & {c.volume for c in self.validation}
        if both:
            raise BadParameter(f"{min(both)}: is given for training and for validation")
        if self.prior and self.start:
            raise BadParameter("training: give either prior or start")


def read_recipe(path: Path | str) -> Recipe:
    """Read a TOML file; paths in it are relative to it.

    A volume may be a pattern with `*`; then `{name}` in its mask or tree stands for each volume's
    name without suffix, and volumes whose mask or tree is missing, or that are given for
    validation, are left out. So may a morphology.

    Raises:
        FileAccess: it cannot be read.
        BadFile: it is no TOML.
        BadParameter: an unknown or missing name, a value of the wrong type or out of range.
    """
    try:
        table = tomllib.loads(read_bytes(path).decode())
    except ValueError as error:
        raise BadFile(f"{path}: is no TOML file: {error}") from error
    try:
        return _recipe(table, Path(path).parent)
    except BadParameter as error:
        raise BadParameter(f"{path}: {error}") from error


def _recipe(table: dict[str, Any], folder: Path) -> Recipe:
    sections = {
        "network": NetworkConfig,
        "schedule": Schedule,
        "loss": LossWeights,
        "rendered": Rendered,
    }
    lists, texts = ("training", "validation"), ("prior", "start")
    unknown = sorted(set(table) - {*sections, *lists, *texts})
    if unknown:
        raise BadParameter(f"knows no {unknown[0]!r}")
    made: dict[str, Any] = {
        name: from_table(kind, _typed(table.get(name, {}), dict, name), f"[{name}]")
        for name, kind in sections.items()
    }
    if "network" not in table:
        made["network"] = None
    rendered = made["rendered"]
    paths = [p for m in rendered.morphologies for p in _found(m, folder)]
    made["rendered"] = replace(
        rendered, morphologies=tuple(p for p in paths if Path(p).stem not in rendered.without)
    )
    given = {
        name: [
            from_table(Case, _typed(entry, dict, name), f"[[{name}]]")
            for entry in _typed(table.get(name, []), list, name)
        ]
        for name in lists
    }
    made["validation"] = tuple(c for case in given["validation"] for c in _cases(case, folder))
    judged = {case.volume for case in made["validation"]}
    made["training"] = tuple(
        found
        for case in given["training"]
        for found in _cases(case, folder)
        if "*" not in case.volume or found.volume not in judged
    )
    for name in texts:
        value = _typed(table.get(name, ""), str, name)
        # Neither a file's name: the name of an installed model, or of timm's own weights.
        made[name] = str(folder / value) if value and (folder / value).exists() else value
    return Recipe(**made)


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise BadParameter(f"{name} = {value!r}: must be a {kind.__name__}")
    return value


def _cases(case: Case, folder: Path) -> list[Case]:
    """The cases that an entry stands for, their paths relative to the recipe's folder."""

    def beside(volume: str, reference: str) -> str:
        return reference and str(folder / reference.replace("{name}", Path(volume).stem))

    cases = [
        replace(case, volume=v, mask=beside(v, case.mask), tree=beside(v, case.tree))
        for v in _found(case.volume, folder)
    ]
    if "*" not in case.volume:
        return cases
    whole = [c for c in cases if all(Path(p).exists() for p in (c.mask, c.tree) if p)]
    if not whole:
        raise BadParameter(f"{case.volume}: none of {len(cases)} volumes has its mask or tree")
    return whole


def _found(pattern: str, folder: Path) -> list[str]:
    """The files that a path or a pattern names, sorted."""
    if "*" not in pattern:
        return [str(folder / pattern)]
    start = Path(pattern)
    base = Path(start.anchor) if start.is_absolute() else folder
    relative = str(start.relative_to(start.anchor)) if start.is_absolute() else pattern
    found = sorted(str(p) for p in base.glob(relative))
    if not found:
        raise BadParameter(f"{pattern}: no file has such a name")
    return found
