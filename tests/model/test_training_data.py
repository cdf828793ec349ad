"""What a recipe makes of files: patterns, masks, trees; and what a network is started from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dineuro_bridge.errors import BadParameter, BadTree, BadVolume
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.catalog import find_model
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.network.stored import describe, read_network
from dineuro_model.network.weights import save_weights
from dineuro_model.synthesis.rendering import Rendering
from dineuro_model.training import sampling
from dineuro_model.training.optimisation import parameter_groups
from dineuro_model.training.recipe import Recipe, Schedule, read_recipe
from dineuro_model.training.sampling import BACKGROUND, NEURITE, UNKNOWN, Case, Rendered, read_case
from dineuro_model.training.train import Trainer, starting_network
from tests.model.test_transfer import TINY
from tests.support.shapes import chain, line, paint

SHAPE = (20, 40, 48)
PATH = line((4, 20, 10), (44, 20, 10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three stacks; b is judged, c has no mask."""
    half = paint([line((4, 20, 10), (24, 20, 10))], SHAPE)
    for name in ("a", "b", "c"):
        write_volume(tmp_path / f"{name}.tif", Volume(paint([PATH], SHAPE)[None]))
        write_swc(tmp_path / f"{name}.swc", chain(PATH))
    for name in ("a", "b"):
        write_volume(tmp_path / f"{name}_mask.tif", Volume(half[None]))
    return tmp_path


def test_a_pattern_stands_for_the_volumes_that_have_a_mask_and_are_not_judged(folder: Path) -> None:
    for name in ("x", "y"):
        write_swc(folder / f"neuron_{name}.swc", chain(PATH))
    (folder / "recipe.toml").write_text(
        '[[training]]\nvolume = "*.tif"\nmask = "{name}_mask.tif"\ntree = "{name}.swc"\n'
        '[[validation]]\nvolume = "b.tif"\nmask = "{name}_mask.tif"\n'
        '[rendered]\nmorphologies = ["neuron_*.swc"]\nwithout = ["neuron_y"]\n'
    )
    recipe = read_recipe(folder / "recipe.toml")
    assert [Path(c.volume).name for c in recipe.training] == ["a.tif"]
    assert Path(recipe.training[0].mask) == folder / "a_mask.tif"
    assert Path(recipe.training[0].tree) == folder / "a.swc"
    assert [Path(c.mask).name for c in recipe.validation] == ["b_mask.tif"]
    assert [Path(m).name for m in recipe.rendered.morphologies] == ["neuron_x.swc"]


def test_a_pattern_without_any_mask_is_refused(folder: Path) -> None:
    (folder / "recipe.toml").write_text('[[training]]\nvolume = "*.tif"\nmask = "{name}_no.tif"\n')
    with pytest.raises(
        BadParameter, match=r"recipe\.toml: \*\.tif: none of 5 volumes has its mask"
    ):
        read_recipe(folder / "recipe.toml")


def test_a_tree_alone_gives_a_tube_with_an_unsure_rim(folder: Path) -> None:
    case = Case(str(folder / "c.tif"), tree=str(folder / "c.swc"), radius=2.5)
    labels = read_case(case).labels
    across = labels[10, 10:31, 24]
    assert across[10] == NEURITE
    assert np.flatnonzero(across == NEURITE).tolist() == [8, 9, 10, 11, 12]
    assert np.flatnonzero(across == UNKNOWN).tolist() == [6, 7, 13, 14]
    assert (labels[0] == BACKGROUND).all()


def test_beside_a_mask_the_tree_takes_back_what_the_mask_leaves_out(folder: Path) -> None:
    """The mask ends halfway: the line beyond it does not count, what is beside it is background."""
    case = Case(str(folder / "a.tif"), str(folder / "a_mask.tif"), str(folder / "a.swc"))
    labels = read_case(case).labels
    assert labels[10, 20, 15] == NEURITE
    assert labels[10, 20, 35] == UNKNOWN
    assert labels[10, 24, 35] == BACKGROUND
    assert (read_case(replace(case, tree="")).labels != UNKNOWN).all()


def test_a_tree_beside_the_volume_is_refused(folder: Path) -> None:
    write_swc(folder / "c.swc", replace(chain(PATH), xyz=PATH + 500.0))
    case = Case(str(folder / "c.tif"), tree=str(folder / "c.swc"))
    with pytest.raises(BadVolume, match=r"c\.swc: no node lies in .*c\.tif"):
        read_case(case)


def in_micrometres(folder: Path, *comments: str) -> Case:
    """Stack c with a voxel size and noise, and its tree in µm of that size."""
    rng = np.random.default_rng(3)
    voxels = paint([PATH], SHAPE) + rng.integers(0, 40, SHAPE)
    write_volume(folder / "c.tif", Volume(voxels.astype(np.uint16)[None], spacing=(1.5, 0.5, 0.5)))
    tree = chain(PATH)
    write_swc(
        folder / "c.swc", replace(tree, xyz=tree.xyz * np.array([0.5, 0.5, 1.5]), comments=comments)
    )
    return Case(str(folder / "c.tif"), tree=str(folder / "c.swc"), radius=2.5)


@pytest.mark.parametrize("comments", [(), ("units um",)])
def test_a_tree_in_micrometres_is_refused_with_what_to_do_and_read_with_its_voxel_size(
    folder: Path, comments: tuple[str, ...]
) -> None:
    case = in_micrometres(folder, *comments)
    with pytest.raises(BadTree, match=r"c\.swc: .*pass --gold-spacing x,y,z"):
        read_case(case)
    labels = read_case(replace(case, tree_spacing=(0.5, 0.5, 1.5))).labels
    assert np.flatnonzero(labels[10, 10:31, 24] == NEURITE).tolist() == [8, 9, 10, 11, 12]
    # The same stack with its tree in voxels is not doubted.
    write_swc(folder / "c.swc", chain(PATH))
    assert np.array_equal(read_case(case).labels, labels)


def test_a_voxel_size_of_the_trees_is_for_all_that_give_none(folder: Path) -> None:
    (folder / "recipe.toml").write_text(
        '[[training]]\nvolume = "a.tif"\ntree = "a.swc"\ntree_spacing = [0.5, 0.5, 2]\n'
        '[[validation]]\nvolume = "b.tif"\ntree = "b.swc"\n'
    )
    recipe = read_recipe(folder / "recipe.toml").with_tree_spacing((1.0, 1.0, 1.5))
    assert recipe.training[0].tree_spacing == (0.5, 0.5, 2.0)
    assert recipe.validation[0].tree_spacing == (1.0, 1.0, 1.5)
    with pytest.raises(BadParameter, match="tree_spacing is x, y, z in µm"):
        Case("a.tif", tree="a.swc", tree_spacing=(0.5, 0.5))
    with pytest.raises(BadParameter, match="tree_spacing is x, y, z in µm"):
        Case("a.tif", tree="a.swc", tree_spacing=(0.5, 0.5, 0.0))


def test_a_neurite_of_another_neuron_is_not_learnt_as_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    voxels = np.random.default_rng(1).integers(0, 255, (48, 232, 232)).astype(np.uint8)
    none, all_ = np.zeros(voxels.shape, dtype=bool), np.ones(voxels.shape, dtype=bool)
    scene = Rendering(voxels, none, all_, Tree.empty())
    monkeypatch.setattr(sampling, "random_scene", lambda *_: scene)
    source = sampling.WindowSource((), sampling.Rendered(share=1), (16, 112, 112), 1)
    for slot in range(4):
        assert BACKGROUND not in source.window(0, slot)[1]


def test_fine_tuning_takes_the_network_of_the_weights(tmp_path: Path) -> None:
    network = Network(TINY)
    save_weights(tmp_path / "mine.safetensors", network, {"recipe": "mine"})
    started = starting_network(Recipe(start=str(tmp_path / "mine.safetensors")))
    assert started.config == TINY
    assert torch.equal(started.head.weight, network.head.weight.half().float())
    other = replace(TINY, predicted=2)
    with pytest.raises(BadParameter, match="has another configuration"):
        starting_network(Recipe(network=other, start=str(tmp_path / "mine.safetensors")))
    told = describe(tmp_path / "mine.safetensors")
    assert told["backbone"] == TINY.backbone
    assert told["recipe"] == "mine"
    assert len(told["sha256"]) == 64


def test_a_frozen_vit_learns_nothing_and_the_rest_does(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.tif", Volume(paint([PATH], SHAPE)[None]))
    write_swc(tmp_path / "a.swc", chain(PATH))
    schedule = Schedule(steps=1, batch=1, vit_learning_rate=0, warmup=0, device="cpu")
    case = Case(str(tmp_path / "a.tif"), tree=str(tmp_path / "a.swc"))
    trainer = Trainer(
        Recipe(TINY, schedule, rendered=Rendered(share=0), training=(case,)), torch.device("cpu")
    )
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.step()
    for name, value in trainer.network.state_dict().items():
        assert not name.startswith("vit.") or torch.equal(value, before[name]), name
    assert not torch.equal(trainer.network.stem.weight, before["stem.weight"])


def test_the_first_kernels_have_a_rate_of_their_own() -> None:
    """The kernels of further inputs start at zero, far from where they have to go."""
    network = Network(TINY)
    groups = parameter_groups(network, Schedule(learning_rate=1e-3, stem_rate=5.0))
    (scale,) = [g["scale"] for g in groups if any(p is network.stem.weight for p in g["params"])]
    assert scale == 5.0
    others = {g["scale"] for g in groups if not any(p is network.stem.weight for p in g["params"])}
    assert max(others) == 1.0


def test_the_unet_alone_is_a_network_too() -> None:
    network = Network(NetworkConfig(backbone="", depth=8, predicted=4, size=32, taps=3))
    assert network(torch.rand(2, 8, 16, 24)).shape == (2, 4, 16, 24)
    assert network.step == 8
    with pytest.raises(BadParameter, match="has no ViT"):
        network.load_prior({})


def test_the_recipe_of_the_shipped_network_can_be_read(tmp_path: Path) -> None:
    """With files of those names beside it; and no neuron that judges is trained on."""
    recipe = Path(__file__).parents[2] / "docs" / "recipes" / "dineuro-s1.toml"
    for name in ("lifted/lifted_6", "lifted/lifted_29"):
        for ending in (".tif", "_mask.tif", ".swc"):
            (tmp_path / f"{name}{ending}").parent.mkdir(exist_ok=True)
            (tmp_path / f"{name}{ending}").touch()
    (tmp_path / "morphologies").mkdir()
    for name in ("6", "29"):
        (tmp_path / "morphologies" / f"{name}.swc").touch()
    (tmp_path / recipe.name).write_bytes(recipe.read_bytes())
    read = read_recipe(tmp_path / recipe.name)
    assert [Path(c.volume).stem for c in read.training] == ["lifted_29", "trailmap_train"]
    assert len(read.validation) == 14
    assert [Path(m).stem for m in read.rendered.morphologies] == ["29"]
    assert read.network is not None


def test_the_recipe_with_further_inputs_can_be_read(tmp_path: Path) -> None:
    """It continues from the shipped network, and no neuron that judges is trained on."""
    recipe = Path(__file__).parents[2] / "docs" / "recipes" / "dineuro-s2.toml"
    names = [f"lifted/lifted_{n}{end}" for n in (6, 29) for end in (".tif", "_mask.tif", ".swc")]
    names += [f"morphologies/{n}.swc" for n in (6, 29, 245, 258, 273)] + ["backgrounds/f.tif"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / recipe.name).write_bytes(recipe.read_bytes())
    read = read_recipe(tmp_path / recipe.name)
    assert read.start == "dineuro-s1"
    assert [Path(c.volume).stem for c in read.training] == ["lifted_29", "trailmap_train"]
    assert [Path(m).stem for m in read.rendered.morphologies] == ["29"]
    assert [Path(v).name for v in read.pasted.volumes] == ["f.tif"]
    assert read.network is not None
    shipped = read_network(find_model("dineuro-s1").path).config
    assert replace(read.network, inputs=("global",)) == shipped
