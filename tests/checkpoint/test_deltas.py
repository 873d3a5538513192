"""Deltas: exact, of low rank, of other models, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import sgkit
from sgkit.checkpoint import save
from sgkit.checkpoint.deltas import read_delta_header, save_delta, with_delta
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Model, build
from sgkit.tasks.info import FileSummary, ModelSummary, info
from tests.builders import drawn_model


def tuned_from(model: Model, *, scale: float = 0.1) -> Model:
    """``model`` with other weights in its synthesis network."""
    tuned = build(model.config)
    tuned.generator.load_state_dict(model.generator.state_dict())
    for weight in tuned.generator.synthesis.parameters():
        weight.add_(scale * torch.randn(weight.shape))
    return tuned


@pytest.fixture
def model() -> Model:
    return drawn_model()


def test_a_full_delta_gives_the_tuned_model_to_the_bit(model: Model, tmp_path: Path) -> None:
    tuned = tuned_from(model)
    save(model, tmp_path / "m.safetensors")
    header = save_delta(model, tuned, tmp_path / "d.safetensors", settings={"steps": 3})
    assert (header.rank, header.error) == (None, 0.0)
    assert header.model_hash == model.content_hash()
    found = sgkit.load(f"{tmp_path}/m.safetensors+{tmp_path}/d.safetensors")
    assert found.content_hash() == tuned.content_hash() == header.tuned_hash
    assert found.info.tuned_from == (model.content_hash(),)
    assert found.raw_generator is None
    assert found.discriminator is not None
    mapping = {name for name in model.generator.state_dict() if name.startswith("mapping")}
    with safe_open(tmp_path / "d.safetensors", "pt") as file:
        assert not {name.removeprefix("full.") for name in file.keys()} & mapping  # noqa: SIM118
    save(found, tmp_path / "whole.safetensors")
    assert sgkit.load(tmp_path / "whole.safetensors").content_hash() == tuned.content_hash()


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_low_rank_leaves_out_no_more_than_it_says(rank: int, model: Model, tmp_path: Path) -> None:
    tuned = tuned_from(model)
    header = save_delta(model, tuned, tmp_path / "d.safetensors", rank=rank)
    found = with_delta(model, tmp_path / "d.safetensors").generator.state_dict()
    before, wanted = model.generator.state_dict(), tuned.generator.state_dict()
    missing = sum(float((found[name] - wanted[name]).square().sum()) for name in wanted)
    whole = sum(float((before[name] - wanted[name]).square().sum()) for name in wanted)
    assert header.error == pytest.approx((missing / whole) ** 0.5, rel=1e-3)
    assert 0 < header.error < 1
    names = {name for name, old in before.items() if old.ndim < 2 and not torch.equal(old, wanted[name])}
    assert names
    assert all(torch.equal(found[name], wanted[name]) for name in names)


def test_more_rank_is_more_exact_and_changes_of_low_rank_are_kept(model: Model, tmp_path: Path) -> None:
    tuned = tuned_from(model)
    errors = [save_delta(model, tuned, tmp_path / "d.safetensors", rank=rank).error for rank in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    tuned = tuned_from(model, scale=0.0)
    weight = tuned.generator.synthesis.layer("b8_conv0").affine.weight
    weight.add_(torch.randn(len(weight), 1) @ torch.randn(1, weight.shape[1]))
    assert save_delta(model, tuned, tmp_path / "d.safetensors", rank=1).error < 1e-6


def test_tuned_models_can_be_tuned_again(model: Model, tmp_path: Path) -> None:
    once = tuned_from(model)
    save(model, tmp_path / "m.safetensors")
    save_delta(model, once, tmp_path / "d.safetensors")
    once = with_delta(model, tmp_path / "d.safetensors")
    twice = tuned_from(once)
    save_delta(once, twice, tmp_path / "e.safetensors")
    found = sgkit.load(f"{tmp_path}/m.safetensors+{tmp_path}/d.safetensors+{tmp_path}/e.safetensors")
    assert found.content_hash() == twice.content_hash()
    assert found.info.tuned_from == (once.content_hash(), model.content_hash())


def test_another_model_is_refused_with_both_hashes(model: Model, tmp_path: Path) -> None:
    save_delta(model, tuned_from(model), tmp_path / "d.safetensors")
    other = drawn_model(seed=1)
    text = rf"{model.content_hash()[:12]}, and the given one has {other.content_hash()[:12]}"
    with pytest.raises(InputError, match=text):
        with_delta(other, tmp_path / "d.safetensors")
    with pytest.raises(UsageError, match="differ in shape"):
        save_delta(model, build(drawn_model(z_dim=12).config), tmp_path / "e.safetensors")
    with pytest.raises(UsageError, match="rank is 0"):
        save_delta(model, model, tmp_path / "e.safetensors", rank=0)
    with pytest.raises(UsageError, match=r"Use d\.safetensors"):
        save_delta(model, model, tmp_path / "d.npz")


def changed(path: Path, **changes: object) -> None:
    """Write a delta again with other tensors or header values."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["sgkit.delta"])
    for name, value in changes.items():
        if name in header:
            header[name] = value
        elif isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            tensors.pop(name)
    save_file(tensors, path, metadata={"sgkit.delta": json.dumps(header)})


BIAS = "full.synthesis.b4_conv1.bias"
AFFINE = "synthesis.b8_conv0.affine.weight"
DAMAGE = {
    "a tensor of another shape": ({BIAS: torch.zeros(3)}, "does not fit"),
    "an unknown tensor": ({"full.nothing": torch.zeros(3)}, "no place"),
    "an unknown part": ({"left.synthesis.b4_conv1.bias": torch.zeros(8)}, "no place"),
    "half a product": ({f"up.{AFFINE}": torch.zeros(8, 1)}, "does not fit"),
    "NaN": ({BIAS: torch.full((8,), torch.nan)}, "not finite"),
    "16 bits": ({BIAS: torch.zeros(8, dtype=torch.float16)}, "F16"),
    "a missing tensor": ({BIAS: None}, "they are damaged"),
    "changed numbers": ({BIAS: torch.ones(8)}, "they are damaged"),
    "a newer version": ({"format_version": 2}, "format version 2"),
    "no rank": ({"rank": "high"}, "rank"),
    "no settings": ({"settings": 3}, "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(damage: str, model: Model, tmp_path: Path) -> None:
    save_delta(model, tuned_from(model), tmp_path / "d.safetensors")
    changes, text = DAMAGE[damage]
    changed(tmp_path / "d.safetensors", **changes)
    with pytest.raises(CheckpointError, match=text) as caught:
        with_delta(model, tmp_path / "d.safetensors")
    assert "d.safetensors" in str(caught.value)


def test_a_file_that_is_cut_short_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    save_delta(model, tuned_from(model), path)
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 200):
        path.write_bytes(whole[:size])
        with pytest.raises((CheckpointError, InputError)):
            with_delta(model, path)


def test_info_tells_of_a_delta_and_of_the_model_with_it(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path / "m.safetensors")
    header = save_delta(model, tuned_from(model), tmp_path / "d.safetensors", rank=2, settings={"steps": 3})
    found = info(tmp_path / "d.safetensors")
    assert isinstance(found, FileSummary)
    assert found.kind == "delta"
    assert found.facts["model"] == model.content_hash()
    assert "rank" not in found.facts or str(found.facts["rank"]).startswith("2, relative error 0.")
    assert "MODEL+" in found.advice
    whole = info(f"{tmp_path}/m.safetensors+{tmp_path}/d.safetensors")
    assert isinstance(whole, ModelSummary)
    assert whole.content_hash == header.tuned_hash == read_delta_header(tmp_path / "d.safetensors").tuned_hash
