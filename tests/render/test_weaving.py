from __future__ import annotations

from typing import Any

import pytest
import torch

from sgkit.edits import at_kind, compose, joins, tile, weave
from sgkit.errors import UsageError
from sgkit.model import Branch, Canvas, Model, SeededNoise, StoredNoise, noise_source, walk
from sgkit.render.weaving import (
    draw_strip,
    layout,
    plain_pictures,
    strip_canvas,
    strip_walk,
)


@pytest.fixture(params=["skip", "resnet"])
def model(request: pytest.FixtureRequest, tiny_model) -> Model:
    return tiny_model(synthesis__architecture=request.param)  # type: ignore[no-any-return]


def styles_of(model: Model, count: int) -> dict[str, torch.Tensor]:
    return model.styles(model.map(model.sample_z(range(count))))


def weave_styles(
    model: Model, styles: dict[str, torch.Tensor], *, pixels: int | None = None, noise: str = "const", **where: Any
) -> torch.Tensor:
    strip = layout(model, len(next(iter(styles.values()))), pixels=pixels, **where)
    return draw_strip(model, styles, strip, noise_source(noise, 0), pixels=pixels)


def one_branch_for_each_style(model: Model, count: int, cells: int, overlap: float) -> torch.Tensor:
    """The straight way: every style in a branch of its own over the whole canvas, at N times the cost."""
    styles, network = styles_of(model, count), model.generator.synthesis
    branches = [Branch(network, {k: s[i : i + 1] for k, s in styles.items()}, StoredNoise()) for i in range(count)]

    def weights(canvas: Canvas) -> list[torch.Tensor]:
        found = joins(canvas.positions("x"), count, overlap=overlap)
        return [((1 - found.mix) * (found.left == i) + found.mix * (found.right == i))[None, :] for i in range(count)]

    widen = tile(cells, where=lambda spec: spec.name == "b4_conv1")
    return walk(branches, edit=compose(widen, weave(weights, where=at_kind("conv", "rgb"))))[0].image


@pytest.mark.parametrize(
    ("count", "pixels", "overlap", "branches"),
    [(5, 80, 0.5, 2), (4, 64, 0.0, 2), (4, 64, 1.0, 3), (3, 100, 0.7, 2), (5, 64, 0.6, 3), (8, 32, 0.5, 3)],
)
def test_few_branches_weave_what_a_branch_for_each_style_weaves(
    model: Model, count: int, pixels: int, overlap: float, branches: int
) -> None:
    """Changing styles where nobody looks changes nothing."""
    expected = one_branch_for_each_style(model, count, -(-pixels // 4), overlap)[..., :pixels]
    woven = weave_styles(model, styles_of(model, count), pixels=pixels, overlap=overlap)
    assert layout(model, count, pixels=pixels, overlap=overlap).num_branches == branches
    torch.testing.assert_close(woven, expected, rtol=0, atol=1e-5)


def test_deep_inside_its_part_a_style_looks_as_on_a_strip_of_its_own(model: Model) -> None:
    woven = weave_styles(model, styles_of(model, 3), pixels=3 * 64)
    for index in range(3):
        alone = {name: style[index : index + 1] for name, style in styles_of(model, 3).items()}
        plain = weave_styles(model, alone, pixels=3 * 64)
        inside = slice(index * 64 + 32 - 4, index * 64 + 32 + 4)  # more than the receptive field from either ramp
        torch.testing.assert_close(woven[..., inside], plain[..., inside], rtol=0, atol=1e-5)
        assert not torch.allclose(woven, plain, atol=1e-2)


def test_one_style_at_its_own_size_is_the_plain_picture(each_model: Model) -> None:
    ws = each_model.map(each_model.sample_z([4]))
    assert torch.equal(weave_styles(each_model, each_model.styles(ws)), each_model.synthesize(ws))


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("is_ring", [False, True])
def test_any_window_of_a_strip_is_cut_from_the_whole(each_model: Model, is_ring: bool, axis: str) -> None:
    """Each is drawn alone, with all that its layers reach around it: on a ring without its closure, too."""
    network, styles, source = each_model.generator.synthesis, styles_of(each_model, 5), noise_source("const")
    whole = weave_styles(each_model, styles, is_ring=is_ring, axis=axis)  # type: ignore[arg-type]
    strip = layout(each_model, 5, is_ring=is_ring, axis=axis)  # type: ignore[arg-type]
    plain, frame = plain_pictures(network, styles, source), strip_canvas(network, strip)
    side, scale = frame.side(strip.axis), max(float(whole.abs().max()), 1)
    for start, length in ((0, 3), (7, 2), (11, 1), (16, 4)):
        window = frame.with_side(strip.axis, side.part(start, length))
        found = strip_walk(network, plain, strip, source, canvas=window.grown(network.halo(plain.start)))
        [last, *_] = walk(found.branches, edit=found.edit, states=found.states, start=found.start)
        part = last.place.of(last.image).cut(last.image, window.scaled(4))
        expected = whole.narrow(3 if axis == "x" else 2, 4 * start, 4 * length)
        torch.testing.assert_close(part, expected, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("name", ["stylegan3-t", "stylegan3-r"])
def test_stylegan3_is_woven(tiny_model, name: str) -> None:
    """Its Fourier features continue, each style's around the middle of its part: there, it is the plain picture."""
    model = tiny_model(name, size=(64, 64), synthesis__alias_free__margin=10)
    styles = styles_of(model, 3)
    woven = weave_styles(model, styles, overlap=0)
    assert woven.shape == (1, 3, 64, 192)
    plain = model.synthesize(model.map(model.sample_z(range(3))))
    for index in range(3):
        middle = slice(64 * index + 30, 64 * index + 34)
        torch.testing.assert_close(woven[0, :, 30:34, middle], plain[index, :, 30:34, 30:34], rtol=0, atol=1e-4)
    assert float(plain.std()) > 0.01


def test_adain_takes_the_statistics_of_each_style_s_own_picture(tiny_model) -> None:
    """So a part does not depend on what is elsewhere on the canvas."""
    model = tiny_model("stylegan1-f")
    styles = styles_of(model, 4)
    other = {name: style[[0, 1, 3, 3]] for name, style in styles.items()}
    first, second = (weave_styles(model, given)[..., :16] for given in (styles, other))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_turning_the_styles_of_a_ring_turns_the_picture(each_model: Model, count: int, axis: str) -> None:
    """Nothing marks where a ring closes: the closure is drawn like every other place."""
    model = each_model
    styles = styles_of(model, count)
    turned = {name: style.roll(1, dims=0) for name, style in styles.items()}
    ring = {"is_ring": True, "axis": axis, "noise": "none"}
    picture, other = weave_styles(model, styles, **ring), weave_styles(model, turned, **ring)  # type: ignore[arg-type]
    dimension = 3 if axis == "x" else 2
    scale = max(float(picture.abs().max()), 1)
    torch.testing.assert_close(picture.roll(16, dims=dimension), other, rtol=0, atol=2e-5 * scale)


def test_noise_on_a_ring_meets_at_the_closure(model: Model) -> None:
    styles = styles_of(model, 2)
    silent = weave_styles(model, styles, is_ring=True, noise="none")
    for noise in (StoredNoise(), SeededNoise((5,)), "random"):
        image = weave_styles(model, styles, is_ring=True, noise=noise)  # type: ignore[arg-type]
        assert image.shape == silent.shape
        assert not torch.allclose(image, silent, atol=1e-3)


def test_wider_strips_go_on_where_narrow_ones_end(model: Model) -> None:
    """The same styles at the same width each: the left part of a longer strip is the shorter one's."""
    short = weave_styles(model, styles_of(model, 3))
    long = weave_styles(model, styles_of(model, 6))
    torch.testing.assert_close(long[..., :24], short[..., :24], rtol=0, atol=1e-5)


def test_any_length_is_cut_from_whole_cells(model: Model) -> None:
    styles = styles_of(model, 2)
    assert weave_styles(model, styles, pixels=37).shape == (1, 3, 16, 37)
    assert torch.equal(weave_styles(model, styles, pixels=37), weave_styles(model, styles, pixels=40)[..., :37])


def test_shapes_other_than_squares_are_woven_along_either_axis(tiny_model) -> None:
    model = tiny_model(size=(32, 48))
    styles = styles_of(model, 3)
    assert model.config.base == (4, 6)
    assert weave_styles(model, styles).shape == (1, 3, 32, 144)
    assert weave_styles(model, styles, axis="y").shape == (1, 3, 96, 48)
    assert weave_styles(model, styles, is_ring=True, pixels=160).shape == (1, 3, 32, 160)


def test_what_cannot_be_woven_is_refused(model: Model) -> None:
    styles = styles_of(model, 2)
    with pytest.raises(UsageError, match=r"multiple of 4 pixels for this model; .* Nearest: 36 or 40"):
        weave_styles(model, styles, pixels=38, is_ring=True)
    with pytest.raises(UsageError, match="length is 0 pixels"):
        weave_styles(model, styles, pixels=0)
