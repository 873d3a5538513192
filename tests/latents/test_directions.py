from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgkit.cli.app import main
from sgkit.errors import InputError, SgkitError, UsageError
from sgkit.latents.direction_header import METADATA_KEY, read_direction_header
from sgkit.latents.directions import Directions, check_fits, load_directions, save_directions, unit
from sgkit.latents.linear import (
    boundary,
    locality,
    logistic,
    model_weights,
    principal,
    regressed,
    ridge,
    sefa,
    style_ranking,
)
from sgkit.latents.move_text import parse_channel, parse_move
from sgkit.model import Model

SPACES = {
    "z": {"z": (3, 12)},
    "w": {"w": (3, 12)},
    "w+": {"w": (3, 5, 12)},
    "s": {"b4_conv1": (3, 8), "b8_conv0": (3, 8)},
}


def directions(space: Any = "w", **changes: Any) -> Directions:
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(shape, generator=generator) for name, shape in SPACES[space].items()}
    facts = {"names": ("a", "b", "c"), "signs": ("more",) * 3, "method": "sefa", "model_hash": "0" * 64}
    return unit(values, space=space, steps=torch.tensor([1.0, 2.0, 3.0]), **{**facts, **changes})


# -------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("space", SPACES)
def test_directions_survive_their_file(space: str, tmp_path: Path) -> None:
    found = replace(directions(space, layers=(0, 2)), explained=torch.tensor([0.5, 0.3, 0.2]), settings={"samples": 9})
    save_directions(found, tmp_path / "a.safetensors")
    again = load_directions(tmp_path / "a.safetensors")
    assert replace(again, values={}, steps=found.steps, explained=found.explained) == replace(found, values={})
    for name, value in {**found.values, "steps": found.steps, "explained": found.explained}.items():
        assert torch.equal({**again.values, "steps": again.steps, "explained": again.explained}[name], value)
    assert again.content_hash() == found.content_hash() != directions(space).content_hash()
    lengths = torch.cat([value.flatten(1) for value in again.values.values()], dim=1).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(3))


def written(tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A direction file whose own header, and that of its tensors, ``change`` has changed."""
    path = tmp_path / "a.safetensors"
    save_directions(directions(), path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    raw = json.loads(data[8 : 8 + length])
    header = json.loads(raw["__metadata__"][METADATA_KEY])
    change(header, raw)
    raw["__metadata__"][METADATA_KEY] = json.dumps(header)
    text = json.dumps(raw, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, raw: header.update(format_version=2), "format version 2; this sgkit ("),
        (lambda header, raw: header.pop("signs"), "unknown or missing keys: signs"),
        (lambda header, raw: header.update(extra=1), "unknown or missing keys: extra"),
        (lambda header, raw: header.update(space="q"), "unknown space 'q'"),
        (lambda header, raw: header.update(names=["a", "a", "b"]), "a name twice"),
        (lambda header, raw: header.update(names=["a"]), "names 1 directions and 3 signs"),
        (lambda header, raw: header.update(names=["a", "b", "c" * 999]), "names must be short texts"),
        (lambda header, raw: header.update(layers=[-1]), "layers whole numbers"),
        (lambda header, raw: header.update(space="s"), "do not fit 3 directions of the space s"),
        (lambda header, raw: header.update(space="z"), "do not fit 3 directions of the space z"),
        (lambda header, raw: raw["w"].update(dtype="I32"), "not of 32-bit numbers"),
        (lambda header, raw: raw["w"].update(shape=[12, 3]), "do not fit 3 directions of the space w"),
    ],
)
def test_a_damaged_header_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, change)
    for read in (read_direction_header, load_directions):
        with pytest.raises(InputError, match="Cannot read directions from") as error:
            read(path)
        assert message in str(error.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    found = directions()
    save_directions(replace(found, steps=torch.tensor([1.0, float("nan"), 1.0])), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not finite"):
        load_directions(tmp_path / "a.safetensors")


def test_a_direction_of_length_0_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing in the data differs"):
        unit({"w": torch.zeros(1, 4)}, space="w", names=("a",), signs=("",), method="x", model_hash="")


def test_info_and_models_know_direction_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_directions(directions(settings={"measure": "luck", "samples": 5}), "a.safetensors")
    assert main(["info", "a.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("a file of directions", "sefa", "space", "a, b, c", "0" * 64))
    assert main(["generate", "a.safetensors", "--out", "x"]) == 1
    assert "Not a model: a.safetensors is a file of directions" in capsys.readouterr().err
    assert main(["directions", "list", "a.safetensors"]) == 0
    assert "measure: luck" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------- text


def test_moves_are_read_from_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_directions(directions(), "a.safetensors")
    save_directions(directions(names=("x=1", "0", "y")), "b=2:c.safetensors")
    assert parse_move("a.safetensors:b=-1.5")[1:] == ("b", -1.5)
    assert parse_move("a.safetensors:2=1e1")[1:] == ("c", 10.0)
    assert parse_move("b=2:c.safetensors:x=1=3") == (Path("b=2:c.safetensors"), "x=1", 3.0)
    assert parse_channel("b16_conv1:42=5") == ("b16_conv1", 42, 5.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.safetensors", "Write FILE=STRENGTH or FILE:NAME=STRENGTH"),
        ("a.safetensors:b=much", "is not a number: 'much'"),
        ("a.safetensors:b=nan", "is not a number: 'nan'"),
        ("a.safetensors:b=1e9", "is not a number: '1e9'"),
        ("a.safetensors=1", "holds 3 directions (a, b, c); say which one"),
        ("a.safetensors:d=1", "holds no direction 'd'. Allowed: a, b, c. Numbers from 0 to 2 are allowed, too."),
        ("a.safetensors:3=1", "holds no direction '3'"),
        ("missing.safetensors:a=1", "There is no direction file missing.safetensors"),
    ],
)
def test_a_move_that_is_not_one_says_what_is(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_directions(directions(), "a.safetensors")
    with pytest.raises(SgkitError) as error:
        parse_move(text)
    assert message in str(error.value)


# ------------------------------------------------------------------------------------------------- fitting


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"space": "w", "values": {"w": torch.ones(3, 7)}}, "(w) have 7 numbers, the model needs 12"),
        ({"space": "w+", "values": {"w": torch.ones(3, 2, 12)}}, "have 2x12 numbers, the model needs 6x12"),
        ({"space": "z", "values": {"z": torch.ones(3, 5)}}, "(z) have 5 numbers, the model needs 12"),
        ({"space": "s", "values": {"b4_conv9": torch.ones(3, 8)}}, "the model needs none"),
        ({"layers": (0, 6)}, "moves layer 6 of w+; this model has 6"),
    ],
)
def test_directions_of_another_shape_are_refused(
    changed: dict[str, Any], message: str, tiny_model: Callable[..., Model]
) -> None:
    model = tiny_model()
    with pytest.raises(UsageError) as error:
        check_fits(replace(directions(), **changed), model, own_hash=None, name="a.safetensors")
    assert message in str(error.value)
    with pytest.raises(UsageError, match=r"made for a different model.*--any-model"):
        check_fits(directions(), model, own_hash="1" * 64, name="a.safetensors")


# --------------------------------------------------------------------------------------------- mathematics


def test_style_weights_are_those_of_the_layers(each_model: Model) -> None:
    """What the derivative of every style is, by differences in double precision around another place."""
    synthesis, at = each_model.generator.synthesis, each_model.generator.mapping.w_avg.double()
    layers = [spec for spec in synthesis.plan if spec.style_index is not None]
    for spec, weight in zip(layers, model_weights(each_model, None), strict=True):
        layer = synthesis.layer(spec.name).double()
        for index in (0, 5, 11):
            step = torch.zeros(len(at), dtype=torch.float64)
            step[index] = 1e-6
            expected = (layer.style((at + step)[None]) - layer.style((at - step)[None]))[0] / 2e-6
            assert torch.allclose(weight[:, index], expected, rtol=1e-5, atol=1e-7), spec.name


@pytest.mark.parametrize("normalize", [True, False])
def test_sefa_is_the_eigenvectors_of_the_weights(normalize: bool) -> None:
    """Against power iteration with deflation, written plainly."""
    random = np.random.RandomState(0)
    parts = [random.randn(9, 6), random.randn(4, 6) * 3]
    found = sefa([torch.tensor(part) for part in parts], 3, normalize=normalize)
    rows = [row / (np.sqrt(sum(x * x for x in row)) if normalize else 1.0) for part in parts for row in part]
    matrix = np.zeros((6, 6))
    for row in rows:
        for i in range(6):
            for j in range(6):
                matrix[i, j] += row[i] * row[j]
    trace = sum(matrix[i, i] for i in range(6))
    for vector, share in zip(found.vectors, found.explained, strict=True):
        v = random.randn(6)
        for _ in range(20_000):
            v = matrix @ v
            v = v / np.sqrt((v * v).sum())
        value = v @ matrix @ v
        v = v if v[np.argmax(np.abs(v))] > 0 else -v
        assert np.abs(vector.numpy() - v).max() < 1e-5
        assert abs(float(share) - value / trace) < 1e-5
        matrix = matrix - value * np.outer(v, v)


@pytest.mark.parametrize("shape", [(40, 5), (8, 30)])
def test_principal_axes_and_their_regression_are_ganspaces(shape: tuple[int, int]) -> None:
    """Against the singular value decomposition of the centred samples, and normal equations."""
    random = np.random.RandomState(1)
    features, latents = random.randn(*shape) * np.linspace(3, 1, shape[1]), random.randn(shape[0], 4)
    found = principal(torch.tensor(features), 3)
    centred = features - features.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    for k in range(3):
        axis = axes[k] * np.sign(axes[k][np.argmax(np.abs(axes[k]))])
        assert np.abs(found.vectors[k].numpy() - axis).max() < 1e-5
        assert abs(float(found.explained[k]) - values[k] ** 2 / (values**2).sum()) < 1e-5
        assert abs(float(found.deviations[k]) - (centred @ axis).std(ddof=1)) < 1e-5
    moved = regressed(torch.tensor(features), torch.tensor(latents), 3)
    for k in range(3):  # coordinates on the axes are uncorrelated, so each column is a regression of its own
        x = centred @ found.vectors[k].numpy()
        u = sum(x[j] * (latents[j] - latents.mean(axis=0)) for j in range(shape[0])) / sum(x**2)
        whole = moved.vectors[k].numpy() * float(moved.deviations[k])
        assert np.abs(whole - u * x.std(ddof=1)).max() < 1e-5


def test_logistic_and_ridge_minimise_their_losses() -> None:
    """Against plain gradient descent on the losses as they are written."""
    random = np.random.RandomState(2)
    x = random.randn(60, 3) * 2 + 1
    y = (x @ [1.0, -0.5, 0.2] + random.randn(60) > 0.5).astype(float)
    centre, scale = x.mean(axis=0), np.sqrt(((x - x.mean(axis=0)) ** 2).mean())
    data = (x - centre) / scale
    for kind, fit in (("logistic", logistic), ("ridge", ridge)):
        theta, bias = np.zeros(3), 0.0
        for _ in range(20_000):
            gradient, pull = np.zeros(3), 0.0
            for row, label in zip(data, y, strict=True):
                guess = row @ theta + bias
                error = 1 / (1 + np.exp(-guess)) - label if kind == "logistic" else 2 * (guess - label)
                gradient, pull = gradient + error * row / 60, pull + error / 60
            gradient = gradient + (0.05 if kind == "logistic" else 0.1) * theta
            theta, bias = theta - 0.2 * gradient, bias - 0.2 * pull
            if np.abs(gradient).max() < 1e-9:
                break
        weights, offset = fit(x, y, l2=0.05)
        assert np.abs(weights - theta / scale).max() < 1e-5
        assert abs(offset - (bias - (theta / scale) @ centre)) < 1e-5


@pytest.mark.parametrize("is_class", [True, False])
def test_a_planted_boundary_is_found(is_class: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, 16, generator=generator)
    normal = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    value = rows @ normal
    found = boundary(rows, (value > 0.3).float() if is_class else 5 * value + 2)
    assert float(found.normal @ normal.double()) > 0.99
    assert found.score > 0.95
    assert found.chance < 0.7


@pytest.mark.parametrize("labels", [torch.ones(50), torch.tensor([0.0, 1.0])])
def test_a_boundary_needs_labels_that_differ(labels: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="at least 10 examples with two different labels"):
        boundary(torch.randn(len(labels), 3), labels)


def test_style_channels_are_ranked_as_in_stylespace() -> None:
    generator = torch.Generator().manual_seed(0)
    every = {"a": torch.randn(50, 3, generator=generator) * 2, "b": torch.randn(50, 2, generator=generator) + 1}
    chosen = {name: value[:20].clone() for name, value in every.items()}
    chosen["b"][:, 1] = -3 + 0.1 * torch.randn(20, generator=generator)
    found = style_ranking(every, chosen)
    scores = {}
    for layer, styles in every.items():
        for channel in range(styles.shape[1]):
            population = styles[:, channel].double().numpy()
            d = [(float(s) - population.mean()) / population.std(ddof=1) for s in chosen[layer][:, channel].double()]
            mean = sum(d) / len(d)
            scores[layer, channel] = abs(mean) / np.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) - 1))
    assert found.channels == sorted(scores, key=lambda key: -scores[key])
    for channel, score in zip(found.channels, found.scores, strict=True):
        assert abs(float(score) - scores[channel]) < 1e-5
    assert found.channels[0] == ("b", 1)
    assert found.signs[0] == -1


def test_locality_is_the_share_of_the_squared_change_inside() -> None:
    before, after = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    mask = torch.zeros(4, 4)
    mask[1, 2], mask[3, 0] = 1.0, 0.5
    inside = total = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(4):
                change = sum(float(after[n, c, y, x] - before[n, c, y, x]) ** 2 for c in range(3))
                inside, total = inside + change * float(mask[y, x]), total + change
    share, size = locality(before, after, mask)
    assert abs(float(share) - inside / total) < 1e-5
    assert abs(float(size) - inside / (2 * 1.5)) < 1e-5
