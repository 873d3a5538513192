from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import truncate


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def dense(x: Tensor, layer: torch.nn.Module, multiplier: float, *, gain: float = 1.0) -> Tensor:
    """W and b are stored divided by the multiplier; W is scaled by 1 / sqrt(fan_in)."""
    weight = layer.weight.double() * multiplier * gain / math.sqrt(layer.weight.shape[1])
    return x @ weight.t() + layer.bias.double() * multiplier


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


# ---------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize("label_dim", [0, 3])
def test_stylegan2_mapping_in_float64(tiny_model, label_dim: int) -> None:
    model = tiny_model("stylegan2-f", label_dim=label_dim)
    mapping, z = model.generator.mapping, model.sample_z([0, 1])
    label = model.one_hot([2, 0]) if label_dim else None
    x = norm(z.double())
    if label is not None:
        x = torch.cat([x, norm(dense(label.double(), mapping.embed, 1.0))], dim=1)
    for layer in (mapping.fc0, mapping.fc1):
        x = math.sqrt(2) * lrelu(dense(x, layer, 0.01))
    ws = model.map(z, label)
    assert ws.shape == (2, model.num_ws, 12)
    for index in range(model.num_ws):
        torch.testing.assert_close(ws[:, index].double(), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("label_dim", [0, 3])
def test_stylegan1_mapping_in_float64(tiny_model, label_dim: int) -> None:
    """The gain scales the weights alone, and the label joins z before one normalisation."""
    model = tiny_model("stylegan1-f", label_dim=label_dim)
    mapping, z = model.generator.mapping, model.sample_z([0, 1])
    label = model.one_hot([2, 0]) if label_dim else None
    x = z.double()
    if label is not None:
        x = torch.cat([x, label.double() @ mapping.label_matrix.double()], dim=1)
    x = norm(x)
    for layer in (mapping.fc0, mapping.fc1):
        x = lrelu(dense(x, layer, 0.01, gain=math.sqrt(2)))
    torch.testing.assert_close(model.map(z, label)[:, 0].double(), x, rtol=1e-4, atol=1e-5)


def test_progan_only_normalises_z_and_label_together(tiny_model) -> None:
    model = tiny_model("progan", label_dim=3)
    z, label = model.sample_z([0, 1]), model.one_hot([2, 0])
    torch.testing.assert_close(model.map(z, label)[:, 0], norm(torch.cat([z, label], dim=1)))


def test_self_modulation_shifts_and_scales_z_by_the_label(tiny_model) -> None:
    model = tiny_model("self-modulated", label_dim=3)
    mapping, z, label = model.generator.mapping, model.sample_z([0, 1]), model.one_hot([2, 0])
    expected = z + mapping.label_shift(label) + z * mapping.label_scale(label)
    torch.testing.assert_close(model.map(z, label)[:, 0], expected)


def test_a_model_driven_by_its_label_alone(tiny_model) -> None:
    model = tiny_model("stylegan2-f", label_dim=3, z_dim=0)
    ws = model.map(None, model.one_hot([0, 1, 0]))
    torch.testing.assert_close(ws[0], ws[2])
    assert not torch.allclose(ws[0], ws[1])


def test_labels_change_w(tiny_model) -> None:
    model = tiny_model("stylegan2-f", label_dim=3)
    z = model.sample_z([5])
    assert not torch.allclose(model.map(z, model.one_hot(0)), model.map(z, model.one_hot(1)))


def test_a_mapping_is_the_same_under_autocast(tiny_model) -> None:
    model = tiny_model()
    z = model.sample_z([0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model.map(z)
    assert torch.equal(inside, model.map(z))


def test_one_row_of_w_plus_may_be_written_without_touching_others(tiny_model) -> None:
    model = tiny_model()
    ws, other = model.map(model.sample_z([0])), model.map(model.sample_z([1]))
    before = ws.clone()
    ws[:, 3] = other[:, 3]
    assert torch.equal(ws[:, 3], other[:, 3])
    assert torch.equal(ws[:, :3], before[:, :3])
    assert torch.equal(ws[:, 4:], before[:, 4:])


# -------------------------------------------------------------------------------------------- truncation


def operands() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 4, 3), torch.randn(3)


@pytest.mark.parametrize("psi", [0.0, 0.5, 1.0, 1.3, -1.0])
def test_truncation_moves_towards_the_average(psi: float) -> None:
    ws, w_avg = operands()
    torch.testing.assert_close(truncate(ws, w_avg, psi=psi), w_avg + psi * (ws - w_avg))


def test_truncation_of_the_first_layers_only() -> None:
    ws, w_avg = operands()
    out = truncate(ws, w_avg, psi=0.3, cutoff=2)
    torch.testing.assert_close(out[:, :2], w_avg + 0.3 * (ws[:, :2] - w_avg))
    torch.testing.assert_close(out[:, 2:], ws[:, 2:])
    assert torch.equal(truncate(ws, w_avg, psi=0.3, cutoff=0), ws)
    assert torch.equal(truncate(ws, w_avg, psi=0.3, cutoff=4), truncate(ws, w_avg, psi=0.3))


def test_truncation_psi_for_each_layer() -> None:
    ws, w_avg = operands()
    out = truncate(ws, w_avg, psi=[1.0, 0.5, 0.0, -1.0])
    for index, psi in enumerate([1.0, 0.5, 0.0, -1.0]):
        torch.testing.assert_close(out[:, index], w_avg + psi * (ws[:, index] - w_avg))
    torch.testing.assert_close(truncate(ws, w_avg, psi=[0.5] * 4, cutoff=1)[:, 1:], ws[:, 1:])


def test_truncation_checks_its_arguments() -> None:
    ws, w_avg = operands()
    message = r"3 values of truncation psi were given; give one, or one for each of 4 w\."
    with pytest.raises(UsageError, match=message):
        truncate(ws, w_avg, psi=[1.0, 0.5, 0.0])
    for cutoff in (-1, 5):
        with pytest.raises(
            UsageError, match=rf"Truncation cutoff {cutoff} is out of range; the model has 4 w, so 0 to 4"
        ):
            truncate(ws, w_avg, psi=0.5, cutoff=cutoff)


def test_the_model_truncates_towards_its_own_average(tiny_model) -> None:
    model = tiny_model()
    z, w_avg = model.sample_z([0, 1]), model.generator.mapping.w_avg
    assert float(w_avg.abs().max()) > 0
    plain = model.map(z)
    torch.testing.assert_close(model.map(z, truncation_psi=0.0), w_avg.expand_as(plain))
    torch.testing.assert_close(model.map(z, truncation_psi=0.7), truncate(plain, w_avg, psi=0.7))
    mixed = model.map(z, truncation_psi=[0.1 * i for i in range(model.num_ws)], truncation_cutoff=3)
    torch.testing.assert_close(mixed[:, 2], truncate(plain, w_avg, psi=0.2)[:, 2])
    torch.testing.assert_close(mixed[:, 3:], plain[:, 3:])


# ------------------------------------------------------------------------------------------------ errors


def test_latents_are_checked(tiny_model) -> None:
    plain, conditional = tiny_model(), tiny_model(label_dim=3)
    z = plain.sample_z([0])
    with pytest.raises(UsageError, match=r"The model needs a z of length 12; none was given\."):
        plain.map(None)
    with pytest.raises(UsageError, match=r"The model needs a z of shape \[N, 12\]; \[1, 11\] was given\."):
        plain.map(z[:, 1:])
    with pytest.raises(UsageError, match=r"A label of length 3 was given, but the model takes none\."):
        plain.map(z, torch.zeros(1, 3))
    with pytest.raises(UsageError, match=r"The model needs a label of length 3; none was given\."):
        conditional.map(z)
    with pytest.raises(UsageError, match=r"The model needs a label of shape \[N, 3\]; \[1, 2\] was given\."):
        conditional.map(z, torch.zeros(1, 2))


def test_an_empty_label_is_as_good_as_none(tiny_model) -> None:
    """What an unlabelled data set gives."""
    model = tiny_model()
    z = model.sample_z([0])
    assert torch.equal(model.map(z, torch.zeros(1, 0)), model.map(z))
