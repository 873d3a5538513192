from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sgkit
from sgkit.checkpoint import model_file, read_header, save
from sgkit.checkpoint.native import load_native
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Model, ModelInfo, build
from sgkit.tasks.info import info


@pytest.fixture
def model(tiny_config: Callable[..., ModelConfig]) -> Model:
    model = build(tiny_config(size=(16, 32), z_dim=6, w_dim=10), seed=3)
    model.info = ModelInfo(kimg=12.5, provenance={"data": "faces", "preset": None})
    return model


@pytest.fixture
def file(model: Model, tmp_path: Path) -> Path:
    return save(model, tmp_path / "model.safetensors")


def rewritten(
    file: Path,
    *,
    header: dict[str, object] | None = None,
    drop: str = "",
    add: str = "",
    added: tuple[int, ...] = (2,),
) -> Path:
    """``file`` with entries of its header replaced, a tensor dropped or one added, of the shape ``added``."""
    tensors = load_file(file)
    with file.open("rb") as stream:
        raw = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    values = {**json.loads(raw["__metadata__"]["sgkit"]), **(header or {})}
    tensors.pop(drop, None)
    if add:
        tensors[add] = torch.zeros(added)
    save_file(tensors, file, metadata={"sgkit": json.dumps(values)})
    return file


def test_what_was_saved_is_what_is_loaded(model: Model, file: Path) -> None:
    loaded = sgkit.load(file)
    assert loaded.config == model.config
    assert loaded.info == model.info
    assert set(loaded.networks()) == {"generator", "raw_generator", "discriminator"}
    for name, network in model.networks().items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(loaded.networks()[name].state_dict()[key], tensor), (name, key)


def test_a_loaded_model_gives_the_same_pictures_and_logits(model: Model, file: Path) -> None:
    loaded = sgkit.load(file)
    z = model.sample_z([0, 1])
    images = model.synthesize(model.map(z))
    assert torch.equal(loaded.synthesize(loaded.map(z)), images)
    assert torch.equal(loaded.discriminate(images), model.discriminate(images))


@pytest.mark.parametrize("preset", ["stylegan2-f", "stylegan3-r", "stylegan1-f", "self-modulated"])
def test_a_loaded_model_is_whole_on_its_device(tiny_config, preset: str, tmp_path: Path) -> None:
    """Filters are not in the file; on a GPU they must not stay behind on the CPU. Without one, ``meta`` shows it."""
    file = save(build(tiny_config(preset, size=(16, 16))), tmp_path / "model.safetensors")
    model = load_native(file, device=torch.device("meta"))
    for network in model.networks().values():
        tensors = [*network.named_parameters(), *network.named_buffers()]
        assert {name: tensor.device.type for name, tensor in tensors} == {name: "meta" for name, _ in tensors}


def test_a_generator_alone_can_be_saved(model: Model, tmp_path: Path) -> None:
    file = save(Model(config=model.config, generator=model.generator), tmp_path / "g.safetensors")
    loaded = sgkit.load(file)
    assert loaded.discriminator is None
    assert loaded.raw_generator is None


def test_saving_twice_writes_the_same_bytes(model: Model, file: Path, tmp_path: Path) -> None:
    assert save(sgkit.load(file), tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_file_of_16_bits_is_widened_and_projects_like_its_twin(
    dtype: torch.dtype, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    full = tiny_model()
    file = save(full, tmp_path / "model.safetensors")
    with file.open("rb") as stream:
        raw = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))["__metadata__"]
    save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, tmp_path / "short.safetensors", raw)
    short = sgkit.load(tmp_path / "short.safetensors")
    for network in short.networks().values():
        assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    twin = sgkit.load(file)
    largest = 0.02 if dtype == torch.float16 else 0.15
    images, wanted = (model.generate(seeds=range(4)).tensor() for model in (short, twin))
    assert 0 < (images - wanted).abs().max() < largest * wanted.abs().max()
    twin.generate(seeds=[7]).save(tmp_path / "photo.png")
    found, expected = (model.project(tmp_path / "photo.png", steps=3).only for model in (short, twin))
    assert (found - expected).abs().max() < largest * expected.abs().max()


def test_half_writes_16_bits_whose_hash_is_that_of_what_is_loaded(model: Model, file: Path, tmp_path: Path) -> None:
    before = model.content_hash()
    short = save(model, tmp_path / "short.safetensors", half=True)
    assert short.stat().st_size < 0.7 * file.stat().st_size
    header = read_header(short)
    assert {dtype for dtype, _ in header.tensors.values()} == {"F16"}
    assert sgkit.load(short).content_hash() == header.content_hash != before
    assert model.content_hash() == before, "the model itself was changed"
    again = save(sgkit.load(short), tmp_path / "again.safetensors", half=True)
    assert load_file(again)["generator.mapping.w_avg"].equal(load_file(short)["generator.mapping.w_avg"])


def test_half_refuses_numbers_that_16_bits_cannot_hold(model: Model, tmp_path: Path) -> None:
    model.generator.mapping.w_avg[0] = 70000.0
    with pytest.raises(UsageError, match=r"generator\.mapping\.w_avg has values up to 7e\+04; at most 65504"):
        save(model, tmp_path / "short.safetensors", half=True)
    assert not list(tmp_path.iterdir())


def test_training_a_loaded_model_leaves_the_file_as_it_was(file: Path) -> None:
    before = file.read_bytes()
    loaded = sgkit.load(file)
    with torch.no_grad():
        for network in loaded.networks().values():
            for parameter in network.parameters():
                parameter.add_(1.0)
    assert file.read_bytes() == before


def test_the_header_tells_what_the_file_holds(model: Model, file: Path) -> None:
    header = read_header(file)
    assert header.config == model.config
    assert header.info == model.info
    assert header.sgkit_version == sgkit.__version__
    assert header.content_hash == model.content_hash()
    assert header.networks["generator"] == sum(t.numel() for t in model.generator.state_dict().values())
    assert header.tensors["generator.mapping.fc0.weight"] == ("F32", (10, 6))


def test_the_header_is_read_without_the_tensors(file: Path) -> None:
    whole = read_header(file)
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    file.write_bytes(data[:start] + b"\xff" * (len(data) - start))
    assert read_header(file) == whole
    file.write_bytes(data[:start])
    for reader in (sgkit.load, read_header):
        with pytest.raises(CheckpointError, match="is damaged or cut short: its tensors need"):
            reader(file)


def test_a_file_must_be_named_safetensors(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be named \.safetensors; 'model\.pt' was given"):
        save(model, tmp_path / "model.pt")


def test_a_missing_and_an_unknown_tensor_are_named(file: Path) -> None:
    rewritten(file, drop="generator.synthesis.b8_conv0.bias", add="generator.synthesis.b8_conv9.bias")
    with pytest.raises(CheckpointError, match=r"1 tensor is missing: synthesis\.b8_conv0\.bias") as caught:
        sgkit.load(file)
    assert "1 tensor is unknown: synthesis.b8_conv9.bias" in str(caught.value)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(file: Path) -> None:
    rewritten(file, drop="discriminator.b4_head.bias", add="discriminator.b4_head.bias")
    with pytest.raises(CheckpointError, match=r"b4_head.bias \(is \[2\], must be \[8\]\)"):
        sgkit.load(file)


def test_a_transposed_tensor_is_named_with_both_shapes(file: Path) -> None:
    name = next(n for n, t in load_file(file).items() if t.ndim == 2 and t.shape[0] != t.shape[1])
    height, width = load_file(file)[name].shape
    rewritten(file, drop=name, add=name, added=(width, height))
    key = re.escape(name.partition(".")[2])
    with pytest.raises(CheckpointError, match=rf"{key} \(is \[{width}, {height}\], must be \[{height}, {width}\]\)"):
        sgkit.load(file)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format_version": 2}, "format version 2; this sgkit .* reads version 1"),
        ({"surprise": 1}, "unknown or missing keys: surprise"),
        ({"kimg": "many"}, "its header is damaged"),
        ({"config": {"z_dimm": 3}}, "Unknown configuration key 'z_dimm'. Did you mean 'z_dim'"),
        ({"config": {"mapping": {"num_layers": 10**9}}}, "mapping.num_layers is 1000000000"),
        ({"config": {"image_size": [2**20, 2**20]}}, r"image_size\[0\] is 1048576"),
        ({"config": {"mapping": {"num_layers": 100}}}, r"has 100 layers in a network.*at most 64"),
        ({"config": {"w_dim": 2**60}}, "w_dim is 1152921504606846976"),
        ({"config": {"synthesis": {"resample_filter": [1] * 999}}}, "resample_filter is .* 999"),
    ],
)
def test_a_header_that_says_nonsense_is_refused(file: Path, header: dict[str, object], message: str) -> None:
    rewritten(file, header=header)
    for reader in (sgkit.load, read_header):
        with pytest.raises(CheckpointError, match=message):
            reader(file)


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """``file`` with its header changed; the bytes behind it stay."""
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    text = change(header)
    raw = text if isinstance(text, bytes) else json.dumps(header).encode()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + data[start:])


FIRST, SECOND = "generator.mapping.fc0.bias", "generator.mapping.fc0.weight"
DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a shape of 2**60": (lambda h: h[FIRST].update(shape=[2**60]), "is not the shape of an array"),
    "a shape of 2**80": (lambda h: h[FIRST].update(shape=[2**40, 2**40]), "is not the shape of an array"),
    "a negative shape": (lambda h: h[FIRST].update(shape=[-10]), "is not the shape of an array"),
    "a shape of a flag": (lambda h: h[FIRST].update(shape=[True, 10]), "is not the shape of an array"),
    "a shape of fractions": (lambda h: h[FIRST].update(shape=[10.0]), "is not the shape of an array"),
    "no sides and far too many": (lambda h: h[FIRST].update(shape=[0, 2**62]), "is not the shape of an array"),
    "a text as shape": (lambda h: h[FIRST].update(shape="10"), "is damaged"),
    "a list for an entry": (lambda h: h.update({FIRST: [1]}), "is damaged"),
    "an unknown type": (lambda h: h[FIRST].update(dtype="F31"), "is of type 'F31'"),
    "a type of other size": (lambda h: h[FIRST].update(dtype="F64"), "claims shape"),
    "whole numbers": (lambda h: h[FIRST].update(dtype="I32"), "1 tensor is not of floating-point numbers"),
    "a place behind the end": (lambda h: h[FIRST].update(data_offsets=[2**40, 2**40 + 40]), "leaves a hole|overlaps"),
    "a negative place": (lambda h: h[FIRST].update(data_offsets=[-40, 0]), "leaves a hole|overlaps"),
    "two tensors in one place": (lambda h: h[FIRST].update(data_offsets=[0, 40]), "overlaps the tensor before it"),
    "a tensor left out": (lambda h: h.pop(FIRST), "leaves a hole|belong to no tensor"),
    "a name that stands twice": (
        lambda h: json.dumps(h).replace(SECOND, FIRST).encode(),
        "duplicate key 'generator.mapping.fc0.bias'",
    ),
    "metadata that is no text": (lambda h: h.update(__metadata__={"sgkit": 3}), "is not a table of text"),
    "deep nesting": (lambda h: b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "a number of a million digits": (lambda h: b'{"a": ' + b"9" * 1_000_000 + b"}", "its header is damaged"),
    "half a header": (lambda h: json.dumps(h).encode()[:-9], "its header is damaged"),
    "no text": (lambda h: b"{\xff\xfe\xff" * 9, "its header is damaged"),
    "a header of blanks": (lambda h: b"{" + b" " * (1 << 24), "at most 8,388,608 are read"),
    "tensors without end": (
        lambda h: json.dumps(
            {f"generator.x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)}
        ).encode(),
        "names 50,000 tensors; at most 10,000",
    ),
    "tensors without end, and no room": (
        lambda h: json.dumps(
            {f"generator.x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(300_000)}
        ).encode(),
        "at most 8,388,608 are read",
    ),
    "many empty tensors": (
        lambda h: h.update(
            {f"generator.x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(9_000)}
        ),
        "9000 tensors are unknown",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_header_is_refused_by_every_reader(damage: str, file: Path) -> None:
    change, message = DAMAGE[damage]
    changed(file, change)
    for reader in (sgkit.load, info):
        with pytest.raises(CheckpointError, match=message):
            reader(file)


@pytest.mark.parametrize("name", ["kimg", "lod"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_of_a_header_are_finite(name: str, value: float, file: Path) -> None:
    rewritten(file, header={name: value})
    with pytest.raises(CheckpointError, match="must be finite numbers"):
        read_header(file)


def test_info_names_what_does_not_fit_without_reading_it(file: Path) -> None:
    rewritten(file, drop="generator.synthesis.b8_conv0.bias", add="generator.synthesis.b8_conv9.bias")
    with pytest.raises(CheckpointError, match=r"Cannot use model .*1 tensor is missing: synthesis\.b8_conv0\.bias"):
        info(file)


def test_an_unknown_network_is_named(file: Path) -> None:
    rewritten(file, add="encoder.weight")
    with pytest.raises(CheckpointError, match="unknown networks: encoder"):
        sgkit.load(file)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="holds no network of a known project"):
        sgkit.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("length", [0, 7, 100])
def test_a_cut_file_is_refused(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError if length else InputError):
        sgkit.load(file)


def test_a_run_directory_stands_for_its_newest_snapshot(model: Model, tmp_path: Path) -> None:
    for kimg in (5.0, 20.0, 10.0):
        model.info = ModelInfo(kimg=kimg)
        save(model, tmp_path / "snapshots" / f"{kimg:09.3f}" / "model.safetensors")
    save_file({"step": torch.zeros(1)}, tmp_path / "snapshots" / "00020.000" / "state.safetensors")
    assert model_file(tmp_path).parent.name == "00020.000"
    assert sgkit.load(tmp_path).info.kimg == 20.0


def test_a_directory_without_snapshots_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Not a model: .* is an empty folder"):
        sgkit.load(tmp_path)


def test_a_missing_path_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model"):
        sgkit.load(tmp_path / "nothing.safetensors")
