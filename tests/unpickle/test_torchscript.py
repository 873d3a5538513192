"""TorchScript archives: tensors by name as torch has them, and nothing else."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from sgkit.errors import CheckpointError
from sgkit.unpickle import load_script_tensors, load_tensors
from tests.unpickle.limited import run_limited


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.bias = nn.Parameter(torch.randn(4))
        self.sizes, self.factor, self.name = [1, 2], 0.5, "layer"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight, self.bias) * self.factor + self.sizes[0]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(), nn.ReLU(), Layer())
        self.twin = self.layers[0]
        self.register_buffer("heads", torch.rand(4, 1, 1).half().mT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) * self.heads


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "net.pt"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions of torch call TorchScript deprecated
        torch.jit.script(Net()).save(path)
    return path


def test_tensors_are_those_of_the_state_dict(archive: Path) -> None:
    torch.manual_seed(0)
    expected = {name: tensor for name, tensor in Net().state_dict().items() if "twin" not in name}
    found = load_script_tensors(archive)
    twins = {name.replace("twin.", "layers.0."): array for name, array in found.items()}
    assert twins.keys() == expected.keys()
    for name, array in twins.items():
        torch.testing.assert_close(torch.from_numpy(array.copy()), expected[name])


def test_a_plain_torch_file_is_not_a_module(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "state.pth")
    with pytest.raises(CheckpointError, match="it does not hold a module"):
        load_script_tensors(tmp_path / "state.pth")
    (tmp_path / "text.pt").write_text("hello " * 100)
    with pytest.raises(CheckpointError, match="does not start as a zip archive"):
        load_script_tensors(tmp_path / "text.pt")


def test_a_module_is_not_a_plain_torch_file(archive: Path) -> None:
    with pytest.raises(CheckpointError):
        load_tensors(archive)


@pytest.mark.parametrize("kept", [10, 200, 0.5, 0.9, -1])
def test_cut_archives_are_refused(archive: Path, tmp_path: Path, kept: float) -> None:
    data = archive.read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"cut short|zip archive|damaged"):
        load_script_tensors(tmp_path / "cut.pt")


def write(path: Path, stream: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", stream)
        archive.writestr("net/code/__torch__.py", b"x" * 1000, zipfile.ZIP_DEFLATED)
    return path


MODULE = b"c__torch__.m\nNet\n)\x81"


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.", "os.system"),
        (b"\x80\x02" + MODULE + b"}b.", "without tensors"),
        (b"\x80\x02" + MODULE + b"]b.", "without tensors"),
        (b"\x80\x02" + MODULE * 1 + b"}X\x01\x00\x00\x00ac__torch__x\nNet\n)\x81sb.", "__torch__x.Net"),
        (b"\x80\x02" + (MODULE + b"}X\x01\x00\x00\x00a") * 100 + MODULE + b"}b" + b"sb" * 100 + b".", "deeper than 64"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, stream: bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_script_tensors(write(tmp_path / "bad.pt", stream))


def test_a_module_that_holds_itself_ends(tmp_path: Path) -> None:
    stream = b"\x80\x02" + MODULE + b"q\x00}X\x04\x00\x00\x00selfh\x00sb."
    said = run_limited(
        "from sgkit.unpickle import load_script_tensors; load_script_tensors(path)", write(tmp_path / "loop.pt", stream)
    )
    assert "without tensors" in said
