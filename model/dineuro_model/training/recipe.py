"""The recipe of a training run: a TOML file that is checked whole before the run starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import read_bytes
from dineuro_model.network.config import NetworkConfig
from dineuro_model.tables import from_table
from dineuro_model.training.losses import LossWeights
from dineuro_model.training.sampling import Case, Pasted, Rendered


@dataclass(frozen=True, slots=True)
class Schedule:
    """The optimisation.

    Attributes:
        seed: seed of the weights and of the data.
        steps: number of steps in all.
        batch: windows in each step.
        learning_rate: peak rate of the U-Net and of all parameters without a prior.
        vit_learning_rate: peak rate of the ViT's last block. With 0 the whole ViT keeps its
            weights, its tubes included, and a step is faster.
        stem_rate: factor of the learning rate of the first kernels, which read the inputs. The
            kernels of further inputs start at zero, far from where they have to go.
        layer_decay: the rate of a block relative to the block above it.
        weight_decay: weight decay of matrices and kernels.
        warmup: steps of linear increase; afterwards a cosine falls to a hundredth of the peak.
        ema: decay of the averaged weights, which the run writes.
        clip: largest norm of the gradient.
        bf16: whether to compute in bfloat16, if the processor has instructions for it. Emulated
            bfloat16 is many times slower than float32.
        device: "cpu", "cuda", or "auto" for CUDA where the machine has it.
        threads: threads of the CPU; 0 leaves the number to torch.
        deterministic: whether to refuse operations that may differ from run to run.
        log_every: steps between rows of the log.
        validate_every: steps between validations; each also writes the averaged weights.
        checkpoint_every: steps between checkpoints.

    Raises:
        BadParameter: a value is out of range.
    """

    seed: int = 1
    steps: int = 8000
    batch: int = 4
    learning_rate: float = 1e-3
    vit_learning_rate: float = 1e-4
    stem_rate: float = 1.0
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
        rates = (
            self.learning_rate, self.vit_learning_rate, self.stem_rate, self.weight_decay,
            self.clip,
        )  # fmt: skip
        if min(positive) < 1 or min(self.seed, self.warmup, self.threads) < 0:
            raise BadParameter("training: steps, batch and intervals must be 1 or more")
        if min(rates) < 0 or not (0 < self.layer_decay <= 1 and 0 <= self.ema < 1):
            raise BadParameter("training: rates must not be negative, decays lie in 0 to 1")
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadParameter(f"training: device {self.device!r}: auto, cpu or cuda")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Attributes:
        network: configuration of the network; None takes that of `start`, or the default.
        schedule: the optimisation.
        loss: weights of the loss.
        rendered: volumes that are rendered during training.
        pasted: stacks without a reference, in which neurites are rendered.
        training: volumes on disk.
        validation: volumes for validation alone, of other neurons.
        prior: path of a 2D ViT's weights; "hub" downloads timm's weights, "" takes none.
        start: path or name of a network whose training continues; "" for none.

    Raises:
        BadParameter: a volume is in both lists, or both `prior` and `start` are set.
    """

    network: NetworkConfig | None = None
    schedule: Schedule = field(default_factory=Schedule)
    loss: LossWeights = field(default_factory=LossWeights)
    rendered: Rendered = field(default_factory=Rendered)
    pasted: Pasted = field(default_factory=Pasted)
    training: tuple[Case, ...] = ()
    validation: tuple[Case, ...] = ()
    prior: str = ""
    start: str = ""

    def __post_init__(self) -> None:
        shared = {c.volume for c in self.training} & {c.volume for c in self.validation}
        if shared:
            raise BadParameter(f"{min(shared)}: is given for training and for validation")
        if self.rendered.share + self.pasted.share > 1:
            raise BadParameter("training: the shares of rendered and pasted windows exceed 1")
        if self.prior and self.start:
            raise BadParameter("training: give either prior or start")

    def with_tree_spacing(self, spacing_xyz: tuple[float, float, float]) -> Recipe:
        """The recipe with a size of voxels (µm) for the trees of all cases that give none."""

        def spaced(cases: tuple[Case, ...]) -> tuple[Case, ...]:
            return tuple(
                case if any(case.tree_spacing) else replace(case, tree_spacing=spacing_xyz)
                for case in cases
            )

        return replace(self, training=spaced(self.training), validation=spaced(self.validation))


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe.

    Paths in the file are relative to its folder. A volume or a morphology may be a pattern with
    `*`. In the mask and the tree of such a volume, `{name}` stands for the volume's name without
    suffix. A pattern leaves out volumes whose mask or tree is missing, and a pattern for training
    leaves out the validation volumes.

    Args:
        path: a TOML file.

    Raises:
        FileAccess: the file cannot be read.
        BadFile: the file is no TOML.
        BadParameter: an unknown or missing name, a value of the wrong type or out of range.
    """
    try:
        table = tomllib.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: is no TOML file: {error}") from error
    try:
        return _recipe(table, Path(path).parent)
    except BadParameter as error:
        raise BadParameter(f"{path}: {error}") from error


#: The tables, the lists of tables and the texts of a recipe.
_TABLES = {
    "network": NetworkConfig,
    "schedule": Schedule,
    "loss": LossWeights,
    "rendered": Rendered,
    "pasted": Pasted,
}
_LISTS, _TEXTS = ("training", "validation"), ("prior", "start")


def _recipe(table: dict[str, Any], folder: Path) -> Recipe:
    """The recipe of a TOML table; paths are relative to `folder`."""
    unknown = sorted(set(table) - {*_TABLES, *_LISTS, *_TEXTS})
    if unknown:
        raise BadParameter(f"knows no {unknown[0]!r}")
    values: dict[str, Any] = {
        name: from_table(kind, _typed(table.get(name, {}), dict, name), f"[{name}]")
        for name, kind in _TABLES.items()
    }
    if "network" not in table:
        values["network"] = None
    values["rendered"] = _resolve_morphologies(values["rendered"], folder)
    volumes = (path for pattern in values["pasted"].volumes for path in _matches(pattern, folder))
    values["pasted"] = replace(values["pasted"], volumes=tuple(volumes))
    values["validation"] = tuple(
        case for entry in _entries(table, "validation") for case in _cases(entry, folder)
    )
    held_out = {case.volume for case in values["validation"]}
    values["training"] = tuple(
        case
        for entry in _entries(table, "training")
        for case in _cases(entry, folder)
        if "*" not in entry.volume or case.volume not in held_out
    )
    for name in _TEXTS:
        value = _typed(table.get(name, ""), str, name)
        # A text that names no file is the name of an installed model, or "hub".
        values[name] = str(folder / value) if value and (folder / value).exists() else value
    return Recipe(**values)


def _entries(table: dict[str, Any], name: str) -> list[Case]:
    """The cases of a list of tables, with patterns and relative paths as in the file."""
    return [
        from_table(Case, _typed(entry, dict, name), f"[[{name}]]")
        for entry in _typed(table.get(name, []), list, name)
    ]


def _resolve_morphologies(rendered: Rendered, folder: Path) -> Rendered:
    """Replace patterns of morphologies by the files that match, without those of `without`."""
    paths = [path for pattern in rendered.morphologies for path in _matches(pattern, folder)]
    return replace(
        rendered, morphologies=tuple(p for p in paths if Path(p).stem not in rendered.without)
    )


def _typed(value: Any, kind: type, name: str) -> Any:
    """The value, if it has the type; else BadParameter with the name."""
    if not isinstance(value, kind):
        raise BadParameter(f"{name} = {value!r}: must be a {kind.__name__}")
    return value


def _cases(case: Case, folder: Path) -> list[Case]:
    """The cases of an entry; paths become relative to the working directory."""

    def reference_path(volume: str, reference: str) -> str:
        return reference and str(folder / reference.replace("{name}", Path(volume).stem))

    cases = [
        replace(
            case,
            volume=v,
            mask=reference_path(v, case.mask),
            tree=reference_path(v, case.tree),
        )
        for v in _matches(case.volume, folder)
    ]
    if "*" not in case.volume:
        return cases
    complete = [c for c in cases if all(Path(p).exists() for p in (c.mask, c.tree) if p)]
    if not complete:
        raise BadParameter(f"{case.volume}: none of {len(cases)} volumes has its mask or tree")
    return complete


def _matches(pattern: str, folder: Path) -> list[str]:
    """The files of a path or a pattern, sorted."""
    if "*" not in pattern:
        return [str(folder / pattern)]
    start = Path(pattern)
    base = Path(start.anchor) if start.is_absolute() else folder
    relative = str(start.relative_to(start.anchor)) if start.is_absolute() else pattern
    paths = sorted(str(p) for p in base.glob(relative))
    if not paths:
        raise BadParameter(f"{pattern}: no file has such a name")
    return paths
