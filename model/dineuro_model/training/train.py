"""The training run, on CPU or CUDA; it can be resumed after a kill at any moment.

A run has a folder:

    checkpoint.pt       the state of the run; replaced whole, never half-written
    model.safetensors   the averaged weights of the last validation
    log.csv             a row every few steps, with the scores of a validation
"""

from __future__ import annotations

import contextlib
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from dineuro_bridge.errors import BadFile, BadInput, BadParameter, FileAccess
from dineuro_bridge.files import atomic_output
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_model.catalog import find_model
from dineuro_model.inference.torch_runtime import choose_device, has_fast_bf16
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.network.weights import load_network, load_prior, save_weights
from dineuro_model.training.losses import segmentation_loss
from dineuro_model.training.optimisation import learning_rate, parameter_groups
from dineuro_model.training.recipe import Recipe, Schedule
from dineuro_model.training.sampling import NEURITE, UNKNOWN, WindowSource, read_case
from dineuro_model.training.validation import ValidationScores, validate, validation_windows

CHECKPOINT, MODEL, LOG = "checkpoint.pt", "model.safetensors", "log.csv"
_COLUMNS = (
    "step", "loss", "gradient", "learning_rate", "skipped", "seconds",
    "dice", "cldice", "hd95", "noisy_dice", "noisy_cldice", "noisy_hd95",
)  # fmt: skip
#: The run stops after this number of consecutive steps without a finite gradient.
_MOST_SKIPPED = 20
#: Share of the last step in the smoothed loss and gradient of the log.
_SMOOTHING = 0.05


@dataclass(slots=True)
class _State:
    """The state of a run besides the weights.

    Attributes:
        step: number of steps so far.
        loss: the smoothed loss.
        gradient: the smoothed norm of the gradient.
        skipped: number of steps whose gradient was not finite.
        in_a_row: number of such steps since the last step with a finite gradient.
        seconds: time of all steps so far, over all sittings.
    """

    step: int = 0
    loss: float = 0.0
    gradient: float = 0.0
    skipped: int = 0
    in_a_row: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Checkpoint:
    """A checkpoint.

    Attributes:
        config: configuration of its network.
        content: the saved objects by name.
    """

    config: NetworkConfig
    content: dict[str, Any]


def _read_checkpoint(path: Path, device: torch.device) -> _Checkpoint:
    """Read a checkpoint onto a device; a damaged one is a BadFile."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        return _Checkpoint(NetworkConfig.from_dict(content["config"]), content)
    except Exception as error:
        raise BadFile(f"{path}: is a damaged checkpoint: {error}") from error


def train(
    recipe: Recipe,
    folder: Path | str,
    *,
    resume: bool = False,
    progress: ProgressCallback = silent,
) -> Path:
    """Train a network and write its averaged weights.

    Args:
        recipe: the data, the network, the loss and the optimisation.
        folder: folder of the run; it is created if it does not exist.
        resume: whether to continue from the folder's checkpoint. The numbers of steps, the rates
            and the intervals of the recipe may differ from those of the first sitting.
        progress: called after every step; it may raise `Cancelled`.

    Returns:
        The path of the weights.

    Raises:
        FileAccess: the folder holds a run and `resume` is not set, or it holds no run to resume.
        BadParameter: the machine or the network does not fit the recipe.
        BadInput: too many consecutive gradients were not finite.
        And the errors of reading volumes and weights.
    """
    run = Path(folder)
    _check_folder(run, resume)
    with _machine(recipe.schedule) as device:
        content = _read_checkpoint(run / CHECKPOINT, device) if resume else None
        if content is not None and recipe.network is None:
            # The checkpoint holds all weights, so that the start of the run is not needed again.
            recipe = replace(recipe, network=content.config, start="", prior="")
        trainer = Trainer(recipe, device)
        if content is not None:
            trainer.load(content, run / CHECKPOINT)
        log = _Log(run / LOG, trainer.state.step)
        trainer.run(run, log, progress)
    return run / MODEL


class Trainer:
    """The networks, the optimiser and the data of a run.

    Args:
        recipe: the recipe of the run.
        device: where the networks are.

    Raises:
        BadParameter: the network does not fit the recipe, or there is no data.
        And the errors of reading volumes and weights.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.bf16 = recipe.schedule.bf16 and has_fast_bf16(device)
        torch.manual_seed(recipe.schedule.seed)
        self.network = starting_network(recipe).to(device).train()
        if recipe.schedule.vit_learning_rate == 0 and self.network.vit is not None:
            self.network.vit.requires_grad_(False)  # a gradient that nobody uses costs time
        self.average = Network(self.network.config).to(device).eval().reuse_memory()
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.network, recipe.schedule))
        config = self.network.config
        self.source = WindowSource(
            [read_case(case) for case in recipe.training],
            recipe.rendered,
            (config.depth, config.size, config.size),
            recipe.schedule.seed,
            config.inputs,
            recipe.pasted,
        )
        self.windows = validation_windows(recipe.validation, config, recipe.schedule.seed)
        self.state = _State()

    def run(self, run: Path, log: _Log, progress: ProgressCallback) -> None:
        """Train to the last step; write the log, checkpoints and weights on the way.

        Args:
            run: folder of the run.
            log: its log.
            progress: called after every step; it may raise `Cancelled`.
        """
        schedule, state = self.recipe.schedule, self.state
        progress(Progress("train", state.step, schedule.steps))
        while state.step < schedule.steps:
            start = time.perf_counter()
            self.step()
            state.seconds += time.perf_counter() - start
            last = state.step == schedule.steps
            scores = None
            if state.step % schedule.validate_every == 0 or last:
                scores = self.validate()
                save_weights(run / MODEL, self.average, {"step": str(state.step)})
            if state.step % schedule.log_every == 0 or scores:
                log.write(state, learning_rate(schedule, state.step), scores)
            if state.step % schedule.checkpoint_every == 0 or last:
                self.save(run / CHECKPOINT)
            progress(Progress("train", state.step, schedule.steps))

    def step(self) -> None:
        """Train on one batch. A step whose gradient is not finite changes no weight.

        Raises:
            BadInput: too many consecutive gradients were not finite.
        """
        schedule, state = self.recipe.schedule, self.state
        rate = learning_rate(schedule, state.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        intensity, labels = self.source.batch(state.step, schedule.batch)
        loss = self._loss(torch.from_numpy(intensity), torch.from_numpy(labels))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip))
        state.step += 1
        if not math.isfinite(norm):
            state.skipped += 1
            state.in_a_row += 1
            if state.in_a_row >= _MOST_SKIPPED:
                raise BadInput(
                    f"training: {_MOST_SKIPPED} steps in a row had no finite gradient; lower the "
                    "learning rate, or set bf16 = false"
                )
            return
        state.in_a_row = 0
        self.optimiser.step()
        self._average()
        share = 1.0 if state.loss == 0 else _SMOOTHING
        state.loss += share * (float(loss.detach()) - state.loss)
        state.gradient += share * (norm - state.gradient)

    def validate(self) -> ValidationScores | None:
        """The scores of the averaged network; None without validation windows."""
        if not self.windows:
            return None
        return validate(self.average, self.windows, self.device, bf16=self.bf16)

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        content = {
            "config": self.network.config.to_dict(),
            "seed": self.recipe.schedule.seed,
            "state": {name: getattr(self.state, name) for name in _State.__slots__},
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
        }
        with atomic_output(path) as temporary:
            torch.save(content, temporary)

    def load(self, checkpoint: _Checkpoint, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            BadFile: the checkpoint is damaged, or its run had another network or seed.
        """
        content = checkpoint.content
        same = checkpoint.config == self.network.config
        if not same or content.get("seed") != self.recipe.schedule.seed:
            raise BadFile(f"{path}: is of a run with another network or another seed")
        try:
            self.network.load_state_dict(content["network"])
            self.average.load_state_dict(content["average"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.state = _State(**content["state"])
            torch.set_rng_state(content["random"].cpu())
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise BadFile(f"{path}: is a damaged checkpoint: {error}") from error

    def _loss(self, intensity: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch: intensity and labels, each (B, depth, rows, columns)."""
        config = self.network.config
        margin = (config.depth - config.predicted) // 2
        labels = labels[:, margin : margin + config.predicted].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.network(intensity.to(self.device))
        return segmentation_loss(logits, labels == NEURITE, labels != UNKNOWN, self.recipe.loss)

    @torch.no_grad()
    def _average(self) -> None:
        """Update the averaged weights; quickly at first, so that early weights lose influence."""
        step = self.state.step
        decay = min(self.recipe.schedule.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )


def starting_network(recipe: Recipe) -> Network:
    """The network before the first step: from scratch, from a 2D ViT, or from another network.

    Raises:
        BadFile, FileAccess: the weights do not fit the network, or they cannot be read.
        BadParameter: the network of `start` differs by more than further inputs.
    """
    if recipe.start:
        weights = find_model(recipe.start)
        network = load_network(weights.path, sha256=weights.sha256)
        if recipe.network is None:
            return network
        if replace(recipe.network, inputs=network.config.inputs) != network.config:
            raise BadParameter(
                f"{recipe.start}: has another configuration than [network]: leave [network] out, "
                f"or set it to {network.config.to_dict()}; only further inputs are possible"
            )
        return network.with_inputs(recipe.network.inputs)
    network = Network(recipe.network or NetworkConfig())
    if recipe.prior == "hub":
        name = network.config.backbone
        try:
            prior = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
        except Exception as error:
            raise FileAccess(f"{name}: cannot be fetched from the hub: {error}") from error
        network.load_prior(prior, name)
    elif recipe.prior:
        network.load_prior(load_prior(recipe.prior), recipe.prior)
    return network


class _Log:
    """The log of a run, a CSV file.

    Args:
        path: the file. Rows of an earlier sitting after `step` are dropped.
        step: the step that the run continues from.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        earlier: list[list[str]] = []
        if path.exists() and step:
            with path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            earlier = [r for r in rows if len(r) == len(_COLUMNS) and int(r[0]) <= step]
        with atomic_output(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *earlier])

    def write(self, state: _State, rate: float, scores: ValidationScores | None) -> None:
        """Append the row of a step."""
        figures = [""] * 6
        if scores is not None:
            figures = [f"{value:.4f}" for value in astuple(scores)]
        row = [
            state.step, f"{state.loss:.5f}", f"{state.gradient:.4f}", f"{rate:.3e}",
            state.skipped, f"{state.seconds:.1f}", *figures,
        ]  # fmt: skip
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)


def _check_folder(run: Path, resume: bool) -> None:
    """Create the folder of a run; refuse to overwrite a run or to resume none."""
    has_checkpoint = (run / CHECKPOINT).exists()
    if resume and not has_checkpoint:
        raise FileAccess(f"{run}: holds no checkpoint to resume from")
    if has_checkpoint and not resume:
        raise FileAccess(f"{run}: holds a run already; resume it or name another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccess(f"{run}: cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def _machine(schedule: Schedule) -> Iterator[torch.device]:
    """The device of a run; threads and determinism are set meanwhile and restored afterwards."""
    try:
        device = choose_device(schedule.device)
    except BadParameter as error:
        raise BadParameter(f"training: {error}") from error
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        if schedule.threads:
            torch.set_num_threads(schedule.threads)
        torch.use_deterministic_algorithms(schedule.deterministic or strict)
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
