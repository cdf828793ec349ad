"""Corrected stacks in a folder: which are found, which judge, and what a training makes of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.corrections import SHAPE as SHAPE_OF_HOLLOW
from benchmarks.corrections import hollow, recipe_of
from scipy import ndimage

from dineuro import corrections
from dineuro.corrections import DEFAULT_RECIPE, Lesson, divide, find_corrections, learn
from dineuro.evaluation import Row
from dineuro_bridge.errors import BadParameter, BadTree, BadVolume, FileAccess
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli import main
from dineuro_model.network.network import Network
from dineuro_model.network.weights import save_weights
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_model.training.recipe import Recipe, Schedule
from dineuro_model.training.sampling import NEURITE, UNKNOWN, Case, Rendered, read_case
from tests.model.test_transfer import TINY
from tests.support.shapes import chain, line, paint

SHAPE = (20, 40, 60)
PATH = line((8, 20, 10), (52, 20, 10))


def fill(folder: Path, names: str, ending: str = "_traced.swc") -> Path:
    """A corrected stack for each letter: the traced tree ends in the middle."""
    folder.mkdir(exist_ok=True)
    for name in names:
        write_volume(folder / f"{name}.tif", Volume(paint([PATH], SHAPE)[None]))
        write_swc(folder / f"{name}{ending}", chain(PATH[: len(PATH) // 2]))
        write_swc(folder / f"{name}.swc", chain(PATH))
    return folder


def tiny_recipe(folder: Path) -> Recipe:
    """Two steps from a tiny network, without rendered stacks."""
    torch.manual_seed(0)
    start = folder / "start.safetensors"
    save_weights(start, Network(TINY))
    schedule = Schedule(steps=2, batch=1, threads=1, device="cpu")
    return Recipe(schedule=schedule, rendered=Rendered(share=0), start=str(start))


def test_a_corrected_stack_is_one_with_both_trees(tmp_path: Path) -> None:
    fill(fill(tmp_path / "f", "ba"), "c", "_dineuro.swc")
    fill(tmp_path / "f", "xy")
    (tmp_path / "f" / "x.swc").unlink()
    (tmp_path / "f" / "y_traced.swc").unlink()
    found = find_corrections(tmp_path / "f")
    assert [one.volume.name for one in found] == ["a.tif", "b.tif", "c.tif"]
    assert found[2].traced.name == "c_dineuro.swc"
    assert found[2].corrected.name == "c.swc"


def test_too_few_stacks_twins_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileAccess, match="is no folder"):
        find_corrections(tmp_path / "none")
    folder = fill(tmp_path / "f", "a")
    with pytest.raises(BadParameter, match="holds 1 corrected stacks, and 2 are needed"):
        find_corrections(folder)
    fill(folder, "b")
    write_volume(folder / "b.v3draw", Volume(paint([PATH], SHAPE)[None]))
    with pytest.raises(BadParameter, match=r"b\.tif has the same trees|b\.v3draw"):
        find_corrections(folder)


@pytest.mark.parametrize(
    ("names", "judges"), [("ab", "b"), ("abc", "c"), ("abcd", "d"), ("abcdefghi", "dh")]
)
def test_every_fourth_judges_and_teaches_nothing(names: str, judges: str, tmp_path: Path) -> None:
    teach, judge = divide(find_corrections(fill(tmp_path / "f", names)))
    assert [one.volume.stem for one in judge] == list(judges)
    assert [one.volume.stem for one in teach] == [name for name in names if name not in judges]


def test_a_tiny_network_learns_from_a_folder_and_is_judged_by_the_rest(tmp_path: Path) -> None:
    found = find_corrections(fill(tmp_path / "f", "ab"))
    lesson = learn(tiny_recipe(tmp_path), found, tmp_path / "run")
    assert lesson.weights == tmp_path / "run" / "model.safetensors"
    assert lesson.weights.exists()
    assert [row.name for row in (*lesson.before, *lesson.after)] == ["b", "b"]
    assert [path.name for path in (tmp_path / "run" / "corrections").iterdir()] == ["a.tif"]
    labels = read_volume(tmp_path / "run" / "corrections" / "a.tif").channel(1)
    # The second half was added.
    assert (labels[10, 20, 8:53] == NEURITE).all()
    assert labels[10, 30, 30] == UNKNOWN


def test_the_written_labels_are_read_as_neurite_background_and_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "f", "ab")
    write_swc(folder / "a_traced.swc", chain(line((8, 34, 10), (52, 34, 10))))
    taught: list[Case] = []

    def remember(recipe: Recipe, run: Path, **_: object) -> Path:
        taught.extend(recipe.training)
        return Path(recipe.start)

    monkeypatch.setattr(corrections, "train", remember)
    learn(tiny_recipe(tmp_path), find_corrections(folder), tmp_path / "run")
    across = read_case(taught[0]).labels[10, :, 30]
    assert across[[20, 27, 34]].tolist() == [1, 2, 0]


def test_what_judges_is_not_trained_with_and_bad_trees_are_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "f", "ab")
    found, recipe = find_corrections(folder), tiny_recipe(tmp_path)
    run = tmp_path / "run"
    own = Case(str(folder / ".." / "f" / "b.tif"), tree=str(folder / "b.swc"))
    for wrong, words in (
        (Recipe(training=(own,), start=recipe.start), r"b\.tif: judges"),
        (DEFAULT_RECIPE, "--from"),
    ):
        with pytest.raises(BadParameter, match=words):
            learn(wrong, found, run)
    far = chain(PATH + 500)
    write_swc(folder / "a.swc", far)
    write_swc(folder / "a_traced.swc", far)
    with pytest.raises(BadVolume, match=r"a\.tif: no line of its trees lies in it"):
        learn(recipe, found, run)
    write_swc(folder / "b.swc", Tree(PATH, *chain_parts(), ("unit: um",)))
    with pytest.raises(BadTree, match=r"b\.swc: is in µm"):
        learn(recipe, found, run)
    assert not (run / "model.safetensors").exists()


def chain_parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tree = chain(PATH)
    return tree.radii, tree.parents, tree.types


@pytest.mark.parametrize(
    ("before", "after", "error", "better"),
    [
        (0.5, 0.6, "", True),
        (0.5, 0.5, "", False),
        (0.6, 0.5, "", False),
        (0.0, 0.6, "slow", False),  # the old network failed, which says nothing for the new one
    ],
)
def test_a_network_is_offered_only_if_it_is_better(
    before: float,
    after: float,
    error: str,
    better: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = fill(tmp_path / "f", "ab")
    lesson = Lesson(
        tmp_path / "new", (Row("b", "", f1_2=before, error=error),), (Row("b", "", f1_2=after),)
    )
    monkeypatch.setattr(corrections, "learn", lambda *_, **__: lesson)
    words = ["--from", "dineuro-s1", "--corrections", folder, "-o", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", ["dineuro", "train", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    shown = capsys.readouterr()
    assert shown.out == (f"{tmp_path / 'new'}\n" if better else "")
    assert f"mean F1@2 {before:.3f} before, {after:.3f} after" in shown.err
    assert ("not better, so keep dineuro-s1" in shown.err) is not better
    assert ("error: slow" in shown.err) is bool(error)


def test_without_a_recipe_the_run_has_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (([], "--corrections"), (["--corrections", "f"], "-o names the folder")):
        monkeypatch.setattr(sys, "argv", ["dineuro", "train", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 3
        assert message in capsys.readouterr().err


def test_the_simulated_kind_of_stack_is_bright_around_its_neurites_and_dark_in_them() -> None:
    volume, tree = hollow(401)
    mask = neurite_mask(tree, SHAPE_OF_HOLLOW)
    membrane = mask & ~ndimage.binary_erosion(mask)
    inside = ndimage.binary_erosion(mask, iterations=3)
    assert np.median(volume.voxels[0][inside]) < 60 < np.median(volume.voxels[0][membrane])
    recipe = recipe_of(50, 1, keep_vit=True)
    schedule = recipe.schedule
    assert (schedule.steps, schedule.warmup, schedule.vit_learning_rate) == (50, 10, 0.0)
