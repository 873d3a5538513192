"""Feature networks in ONNX files: means of colours, which are easy to check."""

from __future__ import annotations

import base64
import importlib
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgkit.config.metrics import metric_named
from sgkit.errors import CheckpointError, InputError, MissingDependencyError, UsageError
from sgkit.metrics import features, onnx_network
from sgkit.metrics.onnx_network import OnnxExtractor
from tests.metrics.random_networks import pictures

needs_runtime = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs the extra 'onnx'")
FILES = {
    "mean": (
        "CAg6bAoyCgF4EgF5IgpSZWR1Y2VNZWFuKg0KBGF4ZXNAAkADoAEHKg8KCGtlZXBkaW1zGACgAQISAWdaHAoBeBIXChUIARIRCgMS"
        "AW4KAggDCgIIEAoCCBBiFQoBeRIQCg4IARIKCgMSAW4KAxIBY0IECgAQDQ=="
    ),
    "bytes": (
        "CAg6hQEKFwoBeBIBZiIEQ2FzdCoJCgJ0bxgBoAECCjIKAWYSAXkiClJlZHVjZU1lYW4qDQoEYXhlc0ACQAOgAQcqDwoIa2VlcGRp"
        "bXMYAKABAhIBZ1ocCgF4EhcKFQgCEhEKAxIBbgoCCAMKAggQCgIIEGIVCgF5EhAKDggBEgoKAxIBbgoDEgFjQgQKABAN"
    ),
    "maps": (
        "CAg6TQoMCgF4EgF5IgRSZWx1EgFnWhwKAXgSFwoVCAESEQoDEgFuCgIIAwoCCBAKAggQYhwKAXkSFwoVCAESEQoDEgFuCgIIAwoC"
        "CBAKAggQQgQKABAN"
    ),
    "free": (
        "CAg6bgoyCgF4EgF5IgpSZWR1Y2VNZWFuKg0KBGF4ZXNAAkADoAEHKg8KCGtlZXBkaW1zGACgAQISAWdaHgoBeBIZChcIARITCgMS"
        "AW4KAggDCgMSAXMKAxIBc2IVCgF5EhAKDggBEgoKAxIBbgoDEgFjQgQKABAN"
    ),
    "tokens": (
        "CAg6bwowCgF4EgF5IgpSZWR1Y2VNZWFuKgsKBGF4ZXNAA6ABByoPCghrZWVwZGltcxgAoAECEgFnWhwKAXgSFwoVCAESEQoDEgFu"
        "CgIIAwoCCBAKAggQYhoKAXkSFQoTCAESDwoDEgFuCgMSAXQKAxIBY0IECgAQDQ=="
    ),
    "flat": (
        "CAg6aQo0CgF4EgF5IgpSZWR1Y2VNZWFuKg8KBGF4ZXNAAUACQAOgAQcqDwoIa2VlcGRpbXMYAKABAhIBZ1ocCgF4EhcKFQgBEhEK"
        "AxIBbgoCCAMKAggQCgIIEGIQCgF5EgsKCQgBEgUKAxIBbkIECgAQDQ=="
    ),
    "broken": (
        "CAg6ZwoSCgF4CgFzEgF5IgdSZXNoYXBlEgFnKhkIAhAHQgFzShAFAAAAAAAAAAcAAAAAAAAAWhwKAXgSFwoVCAESEQoDEgFuCgII"
        "AwoCCBAKAggQYhUKAXkSEAoOCAESCgoDEgFuCgMSAWNCBAoAEA0="
    ),
}
"""Graphs of one or two nodes, made with onnx.helper: means over places, also of uint8 and of any size; a ReLU; means of
rows and of images; a change to an impossible shape."""
SIGNED = b"r\x15\n\x0bsgkit.range\x12\x06signed"
"""Metadata, behind a graph."""


def network(folder: Path, name: str) -> Path:
    data = base64.b64decode(FILES["mean"]) + SIGNED if name == "signed" else base64.b64decode(FILES[name])
    (folder / f"{name}.onnx").write_bytes(data)
    return folder / f"{name}.onnx"


def images(size: int = 16) -> Tensor:
    return ((pictures(3, size) + 1) * 127.5).round().byte()


@needs_runtime
@pytest.mark.parametrize(
    ("name", "less", "over"),
    [
        ("mean", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("signed", [127.5], [127.5]),
        ("bytes", [0.0], [1.0]),
    ],
)
def test_pixels_are_scaled_as_the_file_says(tmp_path: Path, name: str, less: list[float], over: list[float]) -> None:
    extractor = OnnxExtractor(network(tmp_path, name))
    assert (extractor.dim, extractor.size) == (3, (16, 16))
    expected = (images().float().mean(dim=(2, 3)) - torch.tensor(less)) / torch.tensor(over)
    torch.testing.assert_close(extractor(images()), expected, rtol=1e-4, atol=1e-4)
    assert extractor(images(20)).shape == (3, 3)
    assert extractor(images()[:, :1]).shape == (3, 3)


@needs_runtime
def test_features_of_places_are_averaged_and_open_sizes_are_224(tmp_path: Path) -> None:
    maps = OnnxExtractor(network(tmp_path, "maps"), range="signed")
    expected = (images() / 127.5 - 1).relu().mean(dim=(2, 3))
    torch.testing.assert_close(maps(images()), expected, rtol=1e-4, atol=1e-5)
    assert OnnxExtractor(network(tmp_path, "free")).size == (224, 224)
    assert OnnxExtractor(network(tmp_path, "free"), size=32).size == (32, 32)


@needs_runtime
def test_tokens_are_averaged_and_keep_their_numbers(tmp_path: Path) -> None:
    found = OnnxExtractor(network(tmp_path, "tokens"), range="unit")
    assert found.dim == 16
    torch.testing.assert_close(found(images()), (images() / 255).mean(dim=(1, 3)), rtol=1e-4, atol=1e-5)


@needs_runtime
@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("flat", b"", r"flat.onnx gives \[1\] for 1 images; .* must be \[N, C\], \[N, tokens, C\] or \[N, C, H, W\]"),
        ("broken", b"", r"broken.onnx cannot be run on images \[1, 3, 16, 16\]: "),
        ("free", b"r\x11\n\nsgkit.size\x12\x03big", r"metadata sgkit.size of .*free.onnx is 'big'; allowed: 1 to 4096"),
        ("free", b"r\x0f\n\nsgkit.size\x12\x010", r"metadata sgkit.size of .*free.onnx is '0'; allowed: 1 to 4096"),
    ],
)
def test_networks_that_give_no_features_are_refused(tmp_path: Path, name: str, said: bytes, message: str) -> None:
    path = network(tmp_path, name)
    path.write_bytes(path.read_bytes() + said)
    with pytest.raises(CheckpointError, match=message):
        OnnxExtractor(path)


@needs_runtime
def test_a_file_is_a_network_of_metrics(tmp_path: Path) -> None:
    path = str(network(tmp_path, "signed"))
    row = metric_named(f"fd_inf_{path}")
    assert (row.method, row.network) == ("frechet_infinity", path)
    assert metric_named(f"kd_{path}").method == "kernel"
    extractor = features.load_extractor(path)
    assert (extractor.name, extractor.dim) == (path, 3)
    version = importlib.import_module("onnxruntime").__version__
    assert extractor.content_id.endswith(f"/onnxruntime-{version}")  # another one may round otherwise
    one, other_one = extractor.content_id, OnnxExtractor(path, range="unit").content_id
    assert one != other_one


@needs_runtime
def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(network(tmp_path, "mean").read_bytes()[:60])
    with pytest.raises(CheckpointError, match=r"bad.onnx is not an ONNX file that can be run"):
        OnnxExtractor(tmp_path / "bad.onnx")
    with pytest.raises(UsageError, match=r"Unknown range 'unti' of .*Did you mean 'unit'"):
        OnnxExtractor(network(tmp_path, "mean"), range="unti")


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"There is no file no.onnx"):
        OnnxExtractor("no.onnx")
    monkeypatch.setattr(onnx_network.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[onnx\]'"):
        OnnxExtractor(network(tmp_path, "mean"))


@pytest.mark.parametrize("name", ["fd_net.pt", "fd_net.pth"])
def test_torchscript_is_refused_in_words(name: str) -> None:
    with pytest.raises(UsageError, match=r"TorchScript and .* hold programs.*torch.onnx.export.*fd_net.onnx"):
        metric_named(name)


def test_an_unknown_metric_of_a_file_is_told() -> None:
    with pytest.raises(UsageError, match=r"Unknown metric 'fdd_net.onnx'"):
        metric_named("fdd_net.onnx")
