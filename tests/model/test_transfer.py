"""The transfer contract: at step 0 the 3D network is the pre-trained 2D one, number by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import timm
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_model.network.config import NetworkConfig, Tubular
from dineuro_model.network.convolution import Conv3x3x3
from dineuro_model.network.inflate import fold_normalisation, inflate, resize_position_embedding
from dineuro_model.network.network import Network
from dineuro_model.network.tubular import TubularEmbedding, accumulate, sample_tube
from dineuro_model.network.weights import load_network, save_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BACKBONE = "vit_tiny_patch16_224"
TINY = NetworkConfig(
    BACKBONE, depth=8, predicted=4, size=32, blocks=(0, 1), taps=3, channels=(2, 4, 4, 8)
)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("mode", ["average", "center"])
def test_the_inflated_kernel_sums_to_the_flat_one(mode: str) -> None:
    gray = torch.randn(5, 4, 4)
    inflated = inflate(gray, 6, mode)  # type: ignore[arg-type]
    assert inflated.shape == (5, 6, 4, 4)
    assert torch.allclose(inflated.sum(1), gray, atol=1e-6)
    if mode == "center":
        assert torch.count_nonzero(inflated[:, [0, 1, 2, 4, 5]]) == 0


def test_the_folded_normalisation_reads_raw_gray_as_rgb_was_read() -> None:
    weight, bias = torch.randn(7, 3, 4, 4), torch.randn(7)
    gray_image = torch.rand(2, 1, 12, 12)
    rgb = gray_image.expand(-1, 3, -1, -1)
    normalised = (rgb - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    expected = functional.conv2d(normalised, weight, bias, stride=4)
    kernel, shift = fold_normalisation(weight, bias, MEAN, STD)
    found = functional.conv2d(gray_image, kernel[:, None], shift, stride=4)
    assert torch.allclose(found, expected, atol=1e-4)
    with pytest.raises(BadParameter, match="does not fit"):
        fold_normalisation(weight, bias, MEAN[:2], STD)


def test_a_resized_position_embedding_keeps_cls_first_and_the_same_grid_untouched() -> None:
    embedding = torch.randn(1, 1 + 16, 6)
    assert resize_position_embedding(embedding, 1, (4, 4)) is embedding
    resized = resize_position_embedding(embedding, 1, (8, 3))
    assert resized.shape == (1, 1 + 24, 6)
    assert torch.equal(resized[:, 0], embedding[:, 0])
    flat = torch.cat([embedding[:, :1], torch.full((1, 16, 6), 0.5)], dim=1)
    assert torch.allclose(resize_position_embedding(flat, 1, (7, 5))[:, 1:], torch.tensor(0.5))
    with pytest.raises(BadParameter, match="no square grid"):
        resize_position_embedding(embedding, 2, (4, 4))


def prior() -> dict[str, torch.Tensor]:
    vit = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
    return dict(vit.state_dict())


def flat_vit(state: dict[str, torch.Tensor]) -> nn.Module:
    """The 2D ViT as it was trained, for images of the window's size."""
    vit: nn.Module = timm.create_model(BACKBONE, pretrained=False, num_classes=0, img_size=32)
    resized = dict(state, pos_embed=resize_position_embedding(state["pos_embed"], 1, (2, 2)))
    vit.load_state_dict(resized)
    return vit.eval()


@pytest.mark.parametrize("mode", ["average", "center"])
@pytest.mark.parametrize("tubular", ["none", "straight", "deformable"])
def test_identical_slices_give_the_features_of_the_2d_network(mode: str, tubular: Tubular) -> None:
    state = prior()
    network = Network(
        NetworkConfig.from_dict({**TINY.to_dict(), "inflation": mode, "tubular": tubular})
    ).eval()
    network.load_prior(state)
    image = torch.rand(2, 1, 32, 32)
    flat, pre = flat_vit(state), network.vit.pretrained_cfg
    mean, std = (torch.tensor(pre[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    options = {"indices": [0, 1], "norm": True, "intermediates_only": True}
    with torch.inference_mode():
        expected = flat.forward_intermediates((image - mean) / std, **options)  # type: ignore[operator]
        found = network.vit.forward_intermediates(image.expand(-1, 8, -1, -1), **options)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=2e-4)


def test_center_ignores_the_other_slices_and_average_does_not() -> None:
    state, window = prior(), torch.rand(1, 8, 32, 32)
    moved = window.clone()
    moved[:, [0, 1, 2, 3, 5, 6, 7]] += 1
    for mode, same in (("center", True), ("average", False)):
        network = Network(
            NetworkConfig.from_dict({**TINY.to_dict(), "inflation": mode, "tubular": "none"})
        )
        network.load_prior(state)
        embed = network.vit.patch_embed
        assert torch.equal(embed(window), embed(moved)) is same


def embedding(*, deformable: bool = True) -> TubularEmbedding:
    gray, bias = torch.randn(5, 4, 4), torch.randn(5)
    return TubularEmbedding(
        inflate(gray, 8, "average"), bias, inflate(gray, 5, "average"), deformable=deformable
    )


def test_straight_and_deformable_views_are_plain_convolutions_at_the_start() -> None:
    """With offsets at zero a view along z is the inflated kernel over the slices at the middle."""
    module, window = embedding(), torch.rand(2, 8, 16, 16)
    assert module.offsets is not None
    paths = module.offsets(window)
    assert torch.count_nonzero(paths) == 0
    tube = module.views[0].detach()
    along_z = functional.conv2d(window[:, 2:7], tube, stride=4)
    assert torch.allclose(module.view(window, 0, paths[:, 0]), along_z, atol=1e-5)
    assert torch.allclose(module.view(window, 0, None), along_z, atol=1e-6)
    for axis in range(3):
        straight, bent = module.view(window, axis, None), module.view(window, axis, paths[:, axis])
        assert torch.allclose(straight, bent, atol=1e-5)


def test_alpha_at_zero_gives_the_base_exactly_and_learns() -> None:
    module, window = embedding(), torch.rand(1, 8, 16, 16)
    base = functional.conv2d(window, module.weight, module.bias, stride=4)
    tokens = module(window)
    assert torch.equal(tokens, base)
    tokens.square().sum().backward()
    assert module.alpha.grad is not None
    assert (module.alpha.grad.abs() > 0).all()
    with torch.no_grad():
        module.alpha.fill_(0.5)
    assert not torch.allclose(module(window), base)
    module(window).square().sum().backward()
    assert module.offsets is not None
    gradient = module.offsets.steps.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_no_tap_swerves_further_than_it_is_away_from_the_middle() -> None:
    steps = torch.rand(3, 2, 6, 2) * 2 - 1
    path = accumulate(steps)
    assert path.shape == (3, 2, 7, 2)
    reach = torch.arange(-3, 4).abs().view(1, 1, 7, 1)
    assert (path.abs() <= reach + 1e-6).all()
    assert torch.allclose(path[:, :, 4], steps[:, :, 3])
    assert torch.allclose(path[:, :, 2], steps[:, :, 2])
    assert torch.allclose(path[:, :, 0], steps[:, :, :3].sum(2))


def test_a_bent_tube_samples_where_it_says() -> None:
    """In a ramp along y, a tube along x that swerves by d reads y + d."""
    ramp = torch.arange(16.0).view(1, 1, 16, 1).expand(1, 8, 16, 16).contiguous()
    path = torch.zeros(1, 3, 2, 16, 16)
    path[:, 0, 1], path[:, 2, 1] = -0.5, 0.75  # axes across x, in the order z, y
    samples = sample_tube(ramp, 2, 3, path)
    middle = ramp[:, 4, 4:12]
    for tap, offset in enumerate((-0.5, 0.0, 0.75)):
        assert torch.allclose(samples[:, tap, 4:12], middle + offset, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"depth": 6}, "multiple of 4"), ({"predicted": 3}, "even"), ({"taps": 4}, "odd"),
        ({"blocks": [1, 0]}, "in order"), ({"inflation": "edge"}, "average or center"),
        ({"size": 33}, "multiple of 8"), ({"colour": 1}, "knows no 'colour'"),
        ({"depth": "8"}, "whole number"),
    ],
)  # fmt: skip
def test_configurations_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        NetworkConfig.from_dict({**TINY.to_dict(), **wrong})


@pytest.mark.parametrize(
    "name", ["hf-hub:owner/vit", "hf_hub:owner/vit", "local-dir:/etc", "https://x.org/a", "../vit"]
)
def test_a_backbone_that_names_another_place_is_refused_before_it_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("was asked"))
    with pytest.raises(BadParameter, match="backbone must be a name of timm's"):
        NetworkConfig.from_dict({**TINY.to_dict(), "backbone": name})


@pytest.mark.parametrize(
    "claim",
    [
        {"channels": [20_000, 20_000, 20_000, 20_000]},
        {"channels": [10**18, 8, 8, 8]},
        {"backbone": "vit_gigantic_patch14_clip_224.laion2b", "size": 112},
        {"backbone": "hf-hub:owner/vit"},
        {"depth": 2**30, "predicted": 2, "taps": 2**30 - 1},
    ],
)
def test_weights_that_claim_a_huge_network_are_refused_without_its_memory(
    claim: dict[str, object], tmp_path: Path
) -> None:
    """Half a terabyte would be needed for the largest; the file has some megabytes."""
    path = tmp_path / "claim.safetensors"
    network = Network(TINY)
    header = {"format": "dineuro-network-1", "config": {**TINY.to_dict(), **claim}}
    tensors = {k: v.detach().half().contiguous() for k, v in network.state_dict().items()}
    path.write_bytes(save(tensors, metadata={"dineuro": json.dumps(header)}))
    used = psutil.Process().memory_info().rss
    with pytest.raises(BadFile, match=r"claim\.safetensors: its weights do not fit its config"):
        load_network(path)
    assert psutil.Process().memory_info().rss - used < 2**29


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    network = Network(TINY).eval()
    save_weights(tmp_path / "mine.safetensors", network)
    loaded = load_network(tmp_path / "mine.safetensors")
    assert loaded.state_dict().keys() == network.state_dict().keys()
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    windows = torch.rand(1, TINY.depth, 32, 48)
    with torch.inference_mode():
        assert torch.equal(loaded(windows), network(windows))
    assert all(value.requires_grad for value in loaded.parameters())


def test_backbones_and_priors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadParameter, match="resnet18"):
        Network(NetworkConfig.from_dict({**TINY.to_dict(), "backbone": "resnet18"}))
    network = Network(TINY)
    state = prior()
    del state["blocks.1.mlp.fc1.weight"]
    with pytest.raises(BadFile, match="1 tensors are missing"):
        network.load_prior(state)
    with pytest.raises(BadFile, match="no ViT of timm"):
        network.load_prior({})


@pytest.mark.parametrize("patch", [8, 16])
def test_several_slices_come_out_of_a_window(patch: int) -> None:
    name = f"vit_{'small' if patch == 8 else 'tiny'}_patch{patch}_224"
    network = Network(NetworkConfig.from_dict({**TINY.to_dict(), "backbone": name})).eval()
    with torch.inference_mode():
        logits = network(torch.rand(2, 8, 32, 48))
    assert logits.shape == (2, 4, 32, 48)
    # Nothing is known yet: neurites are expected in about one voxel of a hundred.
    assert 0.001 < float(logits.sigmoid().mean()) < 0.1


def test_the_gradient_in_bfloat16_is_that_in_float32() -> None:
    module = Conv3x3x3(6, 5)
    x = torch.randn(2, 4, 12, 12, 6, requires_grad=True)
    weight = torch.randn(2, 4, 12, 12, 5)
    found: dict[bool, tuple[torch.Tensor, torch.Tensor]] = {}
    for half in (False, True):
        module.zero_grad()
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            (module(x).float() * weight).sum().backward()
        assert module.weight.grad is not None
        assert x.grad is not None
        found[half] = (module.weight.grad.clone(), x.grad.clone())
    for exact, rough in zip(found[False], found[True], strict=True):
        assert torch.isfinite(rough).all()
        assert (rough - exact).norm() / exact.norm() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_small_patch16_224.dino", 64),
        ("vit_small_patch8_224.dino", 64),
        ("vit_small_patch14_dinov2.lvd142m", 112),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 112),
        ("vit_small_patch16_dinov3.lvd1689m", 64),
    ],
)
def test_every_kind_of_dino_can_be_carried_over(name: str, size: int) -> None:
    """DINO, DINOv2, with registers, DINOv3: at step 0 the tokens are the 2D network's."""
    config = NetworkConfig(backbone=name, size=size, depth=8, predicted=4, blocks=(1, 3))
    flat: Any = timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
    network = Network(config).eval()
    network.load_prior(flat.state_dict(), name)
    gray = torch.rand(1, 1, size, size)
    mean, std = (torch.tensor(flat.pretrained_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.inference_mode():
        expected = flat.patch_embed((gray - mean) / std)
        found = network.vit.patch_embed(gray.expand(1, 8, size, size))
        assert torch.allclose(found, expected, atol=1e-4)
        assert network(gray.expand(1, 8, size, size)).shape == (1, 4, size, size)
