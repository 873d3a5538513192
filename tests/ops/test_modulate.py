from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import (
    conv2d,
    demodulation,
    fir_filter,
    modulated_conv2d,
    per_pixel,
    transposed_weight,
    upsampling_conv2d,
    weight_energy,
)

TAPS = fir_filter((1, 2, 4, 1)).double()


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def operands(k: int = 3, *, batch: int = 2, size: tuple[int, int] = (4, 6)) -> tuple[Tensor, Tensor, Tensor]:
    return tensor(batch, 3, *size), tensor(5, 3, k, k, seed=1), tensor(batch, 3, seed=2) + 1


def sample_by_sample(x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool, up: bool) -> Tensor:
    """Equations 1 and 3 of the StyleGAN2 paper: a weight of its own for every sample."""
    out = []
    for image, style in zip(x, styles, strict=True):
        own = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        one = image[None]
        out.append(upsampling_conv2d(one, own, TAPS) if up else F.conv2d(one, own, padding=weight.shape[-1] // 2))
    return torch.cat(out)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_weights_modulated_for_every_sample(up: bool, demodulate: bool, k: int, batch: int) -> None:
    x, weight, styles = operands(k, batch=batch)
    out = modulated_conv2d(x, weight, styles, demodulate=demodulate, up_taps=TAPS if up else None)
    expected = sample_by_sample(x, weight, styles, demodulate=demodulate, up=up)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_a_batch_of_one_sample_serves_many_styles() -> None:
    x, weight, styles = operands()
    out = modulated_conv2d(x[:1], weight, styles)
    expected = modulated_conv2d(x[:1].expand_as(x), weight, styles)
    torch.testing.assert_close(out, expected)


def test_demodulation_gives_unit_weights() -> None:
    weight, styles = tensor(5, 3, 3, 3), tensor(2, 3, seed=1) + 1
    factors = demodulation(weight_energy(weight), styles)
    for n, o in ((0, 0), (1, 4)):
        own = weight[o] * styles[n, :, None, None] * factors[n, o]
        assert float(own.square().sum()) == pytest.approx(1.0, abs=1e-6)


def test_demodulation_does_not_depend_on_the_scale_of_styles() -> None:
    x, weight, styles = operands()
    torch.testing.assert_close(modulated_conv2d(x, weight, styles * 7), modulated_conv2d(x, weight, styles))


def test_zero_styles_stay_finite() -> None:
    x, weight, styles = operands()
    styles = torch.zeros_like(styles).requires_grad_()
    out = modulated_conv2d(x, weight, styles)
    (gradient,) = torch.autograd.grad(out.square().sum(), styles)
    assert torch.equal(out, torch.zeros_like(out))
    assert gradient.isfinite().all()


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("demodulate", [False, True])
def test_gain_multiplies_the_result(demodulate: bool, k: int) -> None:
    x, weight, styles = operands()
    weight = weight[:, :, :k, :k]
    torch.testing.assert_close(
        modulated_conv2d(x, weight, styles, demodulate=demodulate, gain=3.0),
        modulated_conv2d(x, weight, styles, demodulate=demodulate) * 3,
    )


def test_the_pointwise_product_is_the_same_in_both_memory_formats() -> None:
    x, weight, styles = operands()
    plain = modulated_conv2d(x, weight[:, :, :1, :1], styles, demodulate=False)
    x = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(modulated_conv2d(x, weight[:, :, :1, :1], styles, demodulate=False), plain)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("batch", "size"), [(2, (4, 6)), (1, (4, 6)), (1, (2, 2))])
def test_a_bias_is_added(batch: int, size: tuple[int, int], k: int, demodulate: bool, up: bool) -> None:
    x, weight, styles = operands(k, batch=batch, size=size)
    bias, options = tensor(5, seed=7), {"demodulate": demodulate, "up_taps": TAPS if up else None, "gain": 3.0}
    expected = modulated_conv2d(x, weight, styles, **options) + bias[:, None, None]
    torch.testing.assert_close(modulated_conv2d(x, weight, styles, bias=bias, **options), expected)
    asked = bias.clone().requires_grad_()
    modulated_conv2d(x, weight, styles, bias=asked, **options).sum().backward()
    assert asked.grad is not None
    assert torch.allclose(asked.grad, torch.full_like(bias, expected[:, 0].numel()))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("size", [(2, 2), (8, 8)])
def test_one_style_in_the_weights_equals_one_in_the_features(size: tuple[int, int], up: bool) -> None:
    """On a large canvas the weights are modulated, unless slopes of styles or weights are asked for."""
    x, weight, styles = operands(batch=1, size=size)
    up_taps = TAPS if up else None
    laid_out = transposed_weight(weight) if up else weight.contiguous(memory_format=torch.channels_last)
    plain = modulated_conv2d(x, weight, styles, up_taps=up_taps)
    torch.testing.assert_close(modulated_conv2d(x, weight, styles, up_taps=up_taps, laid_out=laid_out), plain)
    leaves = [value.clone().requires_grad_() for value in (x, weight, styles)]
    slopes = torch.autograd.grad(modulated_conv2d(*leaves, up_taps=up_taps).sum(), leaves)
    (alone,) = torch.autograd.grad(modulated_conv2d(leaves[0], weight, styles, up_taps=up_taps).sum(), leaves[:1])
    torch.testing.assert_close(alone, slopes[0])
    step = 1e-6 * torch.sign(slopes[2])
    change = (modulated_conv2d(x, weight, styles + step, up_taps=up_taps) - plain).sum()
    assert float(change) == pytest.approx(float((slopes[2] * step).sum()), rel=1e-3)


def test_energy_at_hand_changes_nothing() -> None:
    x, weight, styles = operands()
    assert torch.equal(
        modulated_conv2d(x, weight, styles, energy=weight_energy(weight)), modulated_conv2d(x, weight, styles)
    )


def test_weight_energy_sums_squares_over_the_kernel() -> None:
    weight = tensor(2, 3, 3, 3)
    expected = torch.tensor(
        [[sum(float(v) ** 2 for v in weight[o, i].flatten()) for i in range(3)] for o in range(2)], dtype=torch.float64
    )
    torch.testing.assert_close(weight_energy(weight), expected)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (4, 1), (4, 6), (2, 3)])
def test_constant_maps_equal_vectors(shape: tuple[int, int], demodulate: bool, up: bool) -> None:
    x, weight, styles = operands()
    maps = styles[:, :, None, None].expand(-1, -1, *shape)
    arguments = {"demodulate": demodulate, "up_taps": TAPS if up else None}
    out = modulated_conv2d(x, weight, maps, **arguments)
    torch.testing.assert_close(out, modulated_conv2d(x, weight, styles, **arguments), rtol=1e-12, atol=1e-12)


def test_a_map_gives_each_column_its_own_style() -> None:
    """Where the kernel sees one style only, the result is that style's; a 1x1 kernel sees one pixel."""
    x, weight, styles = operands(1)
    other = tensor(2, 3, seed=9) + 1
    maps = torch.stack([styles, styles, styles, other, other, other], dim=2)[:, :, None]  # [N, C, 1, 6]
    out = modulated_conv2d(x, weight, maps)
    first, second = modulated_conv2d(x, weight, styles), modulated_conv2d(x, weight, other)
    torch.testing.assert_close(out[..., :3], first[..., :3])
    torch.testing.assert_close(out[..., 3:], second[..., 3:])
    assert not torch.allclose(first[..., 3:], second[..., 3:])


def test_a_map_with_a_kernel_changes_the_inside_of_each_part_by_nothing() -> None:
    x, weight, styles = operands(3, size=(4, 12))
    other = tensor(2, 3, seed=9) + 1
    maps = torch.stack([styles] * 6 + [other] * 6, dim=2)[:, :, None]
    out = modulated_conv2d(x, weight, maps)
    torch.testing.assert_close(out[..., :5], modulated_conv2d(x, weight, styles)[..., :5])
    torch.testing.assert_close(out[..., 7:], modulated_conv2d(x, weight, other)[..., 7:])


def test_a_map_is_stretched_so_that_it_switches_between_the_same_pixels() -> None:
    values = torch.arange(4.0).reshape(1, 1, 1, 4)
    assert per_pixel(values, (3, 8)).shape == (1, 1, 1, 8)
    assert per_pixel(values, (3, 8)).flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert per_pixel(values, (3, 4)) is values
    assert per_pixel(torch.ones(2, 5), (3, 8)).shape == (2, 5, 1, 1)


@pytest.mark.parametrize("as_map", [False, True])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_gradients_of_first_and_second_order(demodulate: bool, up: bool, as_map: bool) -> None:
    x, weight, styles = tensor(2, 2, 3, 4), tensor(2, 2, 3, 3, seed=1), tensor(2, 2, seed=2) + 1
    if as_map:
        styles = styles[:, :, None, None] + 0.1 * tensor(2, 2, 1, 4, seed=3)
    inputs = tuple(value.requires_grad_() for value in (x, weight, styles))

    def function(*values: Tensor) -> Tensor:
        return modulated_conv2d(*values, demodulate=demodulate, up_taps=TAPS if up else None)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_features_in_any_dtype_with_float32_styles(dtype: torch.dtype, up: bool) -> None:
    x, weight, styles = operands()
    taps = TAPS if up else None
    out = modulated_conv2d(x.to(dtype), weight.float(), styles.float(), up_taps=taps if taps is None else taps.float())
    assert out.dtype == dtype
    expected = modulated_conv2d(x, weight, styles, up_taps=taps)
    tolerance = {torch.float32: 1e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype] * float(expected.abs().max())
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)


def test_half_precision_does_not_overflow_on_large_features() -> None:
    x = torch.full((1, 512, 4, 4), 200.0, dtype=torch.float16)
    out = modulated_conv2d(x, torch.ones(4, 512, 3, 3), torch.ones(1, 512) * 4)
    assert out.isfinite().all()


@pytest.mark.parametrize("up", [False, True])
def test_channels_last_comes_back_channels_last(up: bool) -> None:
    x, weight, styles = (value.float() for value in operands())
    taps = TAPS.float() if up else None
    out = modulated_conv2d(x.contiguous(memory_format=torch.channels_last), weight, styles, up_taps=taps)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, modulated_conv2d(x, weight, styles, up_taps=taps))


@pytest.mark.parametrize("grad", [False, True])
def test_no_input_is_changed(grad: bool) -> None:
    inputs = operands()
    copies = [value.clone() for value in inputs]
    with torch.set_grad_enabled(grad):
        modulated_conv2d(*inputs)
    for value, copy in zip(inputs, copies, strict=True):
        assert torch.equal(value, copy)


def test_gradient_mode_does_not_change_values() -> None:
    inputs = tuple(value.float() for value in operands(batch=3))
    with torch.no_grad():
        quiet = modulated_conv2d(*inputs)
    torch.testing.assert_close(modulated_conv2d(*(v.requires_grad_() for v in inputs)), quiet)


def test_other_padding_is_that_of_the_convolution() -> None:
    x, weight, styles = operands()
    wider = modulated_conv2d(x, weight, styles, demodulate=False, padding=2)
    assert wider.shape == (2, 5, 6, 8)
    torch.testing.assert_close(wider[:, :, 1:-1, 1:-1], modulated_conv2d(x, weight, styles, demodulate=False))
    torch.testing.assert_close(wider, conv2d(x * styles[:, :, None, None] / math.sqrt(27), weight, padding=2))


def test_a_map_of_styles_stays_in_place_where_the_output_is_larger() -> None:
    """Each output pixel is demodulated by the style of the input pixel that it lies on."""
    x, weight, styles = operands(size=(4, 8))
    weight = F.pad(weight[..., 1:2, 1:2], (1, 1, 1, 1))  # sees one pixel
    chosen = torch.tensor([0, 0, 1, 1, 1, 0, 1, 0])
    mapped = modulated_conv2d(x[:1], weight, styles[chosen].t()[None, :, None, :], padding=2)
    for column, style in enumerate(chosen, start=1):
        alone = modulated_conv2d(x[:1], weight, styles[style : style + 1], padding=2)
        torch.testing.assert_close(mapped[..., column], alone[..., column])
