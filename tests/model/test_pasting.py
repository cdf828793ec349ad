"""Rendered neurites in real backgrounds; the backgrounds here are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.pasting import Background, Pasting, paste
from dineuro_model.synthesis.rendering import RenderSettings
from dineuro_model.training.recipe import read_recipe
from dineuro_model.training.sampling import NEURITE, UNKNOWN, Pasted, Rendered, WindowSource
from tests.support.shapes import chain, line, paint

SHAPE = (40, 64, 80)
HOW = RenderSettings(contrast=20, beading=0, point_spread=(0.8, 0.6, 0.6))


@pytest.fixture(scope="module")
def background() -> Background:
    """Photon noise with a bright axon of its own, in 12 bits."""
    own = paint([line((4, 14, 12), (76, 14, 12))], SHAPE)
    rng = np.random.default_rng(8)
    return Background.of((8 * rng.poisson(16 + 0.5 * own)).astype(np.uint16))


def tree() -> Tree:
    return chain(line((6, 44, 26), (74, 44, 26)))


def made(background: Background, how: RenderSettings = HOW) -> Pasting:
    return paste(tree(), background, np.random.default_rng(2), how)


def test_the_background_stays_and_the_neurite_stands_out_of_its_noise(
    background: Background,
) -> None:
    pasting = made(background)
    assert pasting.voxels.dtype == np.uint16
    away = np.ones(SHAPE, dtype=bool)
    away[18:34, 36:52] = False
    assert np.array_equal(pasting.voxels[away], background.voxels[away])
    assert pasting.neurites[26, 44, 8:72].all()
    before, after = (v[26, 44, 10:70].astype(float) for v in (background.voxels, pasting.voxels))
    noise = background.voxels[30:].std()
    assert (after - before).mean() == pytest.approx(20 * noise, rel=0.25)
    # Light has photon noise; a line that is too smooth would be easy to tell.
    assert np.diff(after - before).std() > noise


def test_what_the_background_has_of_its_own_is_unknown_and_the_rest_is_known(
    background: Background,
) -> None:
    pasting = made(background)
    assert pasting.unknown[12, 14, 8:72].mean() > 0.95
    assert pasting.unknown.mean() < 0.1
    assert not (pasting.unknown & pasting.neurites).any()
    crossing = chain(line((20, 4, 12), (20, 60, 12)))
    over = paste(crossing, background, np.random.default_rng(2), HOW)
    assert over.neurites[12, 14, 20]
    assert not over.unknown[12, 14, 20]


def test_other_neurons_are_neurites_too(background: Background) -> None:
    other = chain(line((6, 54, 34), (74, 54, 34)))
    pasting = paste(tree(), background, np.random.default_rng(2), HOW, [other])
    assert pasting.neurites[34, 54, 8:72].all()
    ground = background.voxels[34, 54, 8:72].mean()
    assert pasting.voxels[34, 54, 8:72].mean() > 1.5 * ground


def test_a_tree_outside_is_refused(background: Background) -> None:
    far = chain(line((600, 44, 26), (700, 44, 26)))
    with pytest.raises(BadParameter, match="no node in the background"):
        paste(far, background, np.random.default_rng(2), HOW)


def test_a_part_keeps_voxels_and_labels_together(background: Background) -> None:
    labelled = Background(np.arange(np.prod(SHAPE)).reshape(SHAPE) % 7, np.zeros(SHAPE, bool))
    labelled = Background(labelled.voxels, labelled.voxels == 3)
    part = labelled.part((16, 200, 32), np.random.default_rng(5))
    assert part.voxels.shape == (16, 64, 32)
    assert np.array_equal(part.unknown, part.voxels == 3)


def test_a_recipe_names_backgrounds_by_pattern_and_windows_come_from_them(
    background: Background, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    wide = np.tile(background.voxels, (1, 2, 2))
    for name in ("a", "b"):
        write_volume(tmp_path / "real" / f"{name}.tif", Volume(wide[None]))
    (tmp_path / "r.toml").write_text(
        '[rendered]\nshare = 0\n[pasted]\nshare = 1\nvolumes = ["real/*.tif"]\n'
    )
    recipe = read_recipe(tmp_path / "r.toml")
    assert [Path(p).name for p in recipe.pasted.volumes] == ["a.tif", "b.tif"]
    source = WindowSource((), recipe.rendered, (16, 112, 112), 1, pasted=recipe.pasted)
    windows = [source.window(0, slot) for slot in range(3)]
    assert any((labels == NEURITE).any() for _, labels in windows)
    assert any((labels == UNKNOWN).any() for _, labels in windows)
    again = WindowSource((), recipe.rendered, (16, 112, 112), 1, pasted=recipe.pasted)
    assert np.array_equal(again.window(0, 1)[0], windows[1][0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pasted]\nshare = 0.5", "a share needs volumes"),
        ("[pasted]\nshare = 2\nvolumes = ['a.tif']", "0 to 1"),
        ("[pasted]\nshare = 0.6\nvolumes = ['a.tif']", "exceed 1"),
        ("[pasted]\nshare = 0.3\nvolumes = ['*.tif']", "no file has such a name"),
    ],
)
def test_shares_that_make_no_sense_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadParameter, match=said):
        read_recipe(tmp_path / "r.toml")


def test_without_pasted_windows_nothing_is_drawn_differently() -> None:
    plain = WindowSource((), Rendered(share=1), (16, 112, 112), 4)
    beside = WindowSource((), Rendered(share=1), (16, 112, 112), 4, pasted=Pasted())
    assert np.array_equal(plain.window(2, 1)[0], beside.window(2, 1)[0])
