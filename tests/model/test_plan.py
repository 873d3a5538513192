from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from sgkit.config.presets import PRESETS
from sgkit.errors import UsageError
from sgkit.model import discriminator_plan, num_ws, plan_difference, synthesis_plan

GROWING = ["progan", "stylegan1-c", "stylegan1-f", "stylegan2-d"]


def rows(plan: tuple[Any, ...], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(spec, field) for field in fields) for spec in plan]


def test_skip_generator(tiny_config) -> None:
    config = tiny_config("stylegan2-f", synthesis__channel_base=128, synthesis__channel_max=24)
    plan = synthesis_plan(config)
    fields = ("name", "kind", "size", "in_channels", "out_channels", "up", "style_index", "closes_resolution", "merge")
    assert rows(plan, *fields) == [
        ("b4_input", "input", (4, 4), 0, 24, 1, None, False, "replace"),
        ("b4_conv1", "conv", (4, 4), 24, 24, 1, 0, False, "replace"),
        ("b4_rgb", "rgb", (4, 4), 24, 3, 1, 1, True, "replace"),
        ("b8_conv0", "conv", (8, 8), 24, 16, 2, 1, False, "replace"),
        ("b8_conv1", "conv", (8, 8), 16, 16, 1, 2, False, "replace"),
        ("b8_rgb", "rgb", (8, 8), 16, 3, 1, 3, True, "sum"),
        ("b16_conv0", "conv", (16, 16), 16, 8, 2, 3, False, "replace"),
        ("b16_conv1", "conv", (16, 16), 8, 8, 1, 4, False, "replace"),
        ("b16_rgb", "rgb", (16, 16), 8, 3, 1, 5, True, "sum"),
    ]


@pytest.mark.parametrize("architecture", ["orig", "resnet"])
def test_orig_and_resnet_generators_write_one_image(tiny_config, architecture: str) -> None:
    plan = synthesis_plan(tiny_config(synthesis__architecture=architecture))
    assert rows(plan, "name", "style_index", "closes_resolution", "shortcut") == [
        ("b4_input", None, False, None),
        ("b4_conv1", 0, True, None),
        ("b8_conv0", 1, False, "open" if architecture == "resnet" else None),
        ("b8_conv1", 2, True, "close" if architecture == "resnet" else None),
        ("b16_conv0", 3, False, "open" if architecture == "resnet" else None),
        ("b16_conv1", 4, False, "close" if architecture == "resnet" else None),
        ("b16_rgb", 5, True, None),
    ]


def test_residual_discriminator(tiny_config) -> None:
    config = tiny_config("stylegan2-f", discriminator__channel_base=128, discriminator__channel_max=24)
    fields = ("name", "kind", "resolution", "in_channels", "out_channels", "down", "shortcut", "closes_resolution")
    assert rows(discriminator_plan(config), *fields) == [
        ("b16_from_rgb", "from_rgb", 16, 3, 8, 1, None, False),
        ("b16_conv0", "conv", 16, 8, 8, 1, "open", False),
        ("b16_conv1", "conv", 16, 8, 16, 2, "close", True),
        ("b8_conv0", "conv", 8, 16, 16, 1, "open", False),
        ("b8_conv1", "conv", 8, 16, 24, 2, "close", True),
        ("b4_head", "head", 4, 24, 1, 1, None, True),
    ]


def test_skip_discriminator_reads_the_image_at_every_resolution(tiny_config) -> None:
    plan = discriminator_plan(tiny_config(discriminator__architecture="skip"))
    assert rows(plan, "name", "merge", "down")[::3] == [
        ("b16_from_rgb", "replace", 1),
        ("b8_from_rgb", "sum", 2),
        ("b4_from_rgb", "sum", 2),
    ]


@pytest.mark.parametrize("which", [synthesis_plan, discriminator_plan])
@pytest.mark.parametrize("name", PRESETS)
def test_every_plan_is_in_order(tiny_config, name: str, which: Any) -> None:
    plan = which(tiny_config(name, size=(32, 48)))
    assert [spec.index for spec in plan] == list(range(len(plan)))
    assert len({spec.name for spec in plan}) == len(plan)
    resolutions = [spec.resolution for spec in plan]
    assert resolutions == sorted(resolutions, reverse=which is discriminator_plan)
    if which is synthesis_plan:
        assert (plan[0].kind, plan[-1].kind) == ("input", "rgb")
        assert plan[-1].size == (32, 48)


@pytest.mark.parametrize("which", [synthesis_plan, discriminator_plan])
@pytest.mark.parametrize("name", PRESETS)
def test_every_resolution_is_closed_once_by_its_last_layer(tiny_config, name: str, which: Any) -> None:
    plan = which(tiny_config(name, size=(32, 32)))
    last = {spec.resolution: spec.name for spec in plan}
    closing = [spec.name for spec in plan if spec.closes_resolution]
    assert closing == list(last.values())


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("stylegan3")])
def test_sizes_are_the_base_doubled(tiny_config, name: str) -> None:
    for spec in synthesis_plan(tiny_config(name, size=(32, 56))):
        factor = spec.resolution // 4
        assert spec.size == (4 * factor, 7 * factor)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("stylegan2-f", 8),
        ("stylegan2-e-gorig-dresnet", 8),
        ("stylegan2-e-gresnet-dskip", 8),
        ("stylegan2-d", 8),
        ("stylegan1-f", 8),
        ("stylegan1-c", 8),
        ("progan", 1),
        ("self-modulated", 1),
        ("stylegan3-t", 7),
    ],
)
def test_number_of_ws(tiny_config, name: str, count: int) -> None:
    """At 32 px: 2 log2 R - 2 for StyleGAN 1 and 2; a w for the input and each of 5 + 1 layers for StyleGAN3."""
    config = tiny_config(name, size=(32, 32))
    assert num_ws(config) == count
    used = {spec.style_index for spec in synthesis_plan(config)} - {None}
    assert used == set(range(count))


@pytest.mark.parametrize("size", [(4, 4), (32, 32), (64, 48)])
def test_an_image_shares_its_w_with_the_next_convolution(tiny_config, size: tuple[int, int]) -> None:
    plan = {spec.name: spec for spec in synthesis_plan(tiny_config("stylegan2-f", size=size))}
    shared = [(rgb, f"b{spec.resolution * 2}_conv0") for rgb, spec in plan.items() if spec.kind == "rgb"]
    assert all(plan[rgb].style_index == plan[conv].style_index for rgb, conv in shared[:-1])
    assert shared[-1][1] not in plan


def test_noise_can_be_left_out(tiny_config) -> None:
    assert all(spec.has_noise == (spec.kind == "conv") for spec in synthesis_plan(tiny_config("stylegan2-f")))
    assert not any(spec.has_noise for spec in synthesis_plan(tiny_config("stylegan2-f", synthesis__use_noise=False)))


@pytest.mark.parametrize(("mode", "outputs"), [("project", 8), ("classes", 5), ("auxiliary", 6)])
def test_outputs_of_a_conditional_discriminator(tiny_config, mode: str, outputs: int) -> None:
    config = tiny_config("stylegan2-f", label_dim=5, discriminator__label_mode=mode)
    assert discriminator_plan(config)[-1].out_channels == outputs
    assert discriminator_plan(replace(config, label_dim=0))[-1].out_channels == 1


# --------------------------------------------------------------------------------------------- growing


@pytest.mark.parametrize("name", GROWING)
def test_growing_plans_leave_out_doublings(tiny_config, name: str) -> None:
    config = tiny_config(name, size=(32, 48))
    half = synthesis_plan(config, lod=1)
    assert (half[-1].name, half[-1].enlarge, half[-1].fade, half[-1].merge) == ("b16_rgb", 2, 0.0, "replace")
    assert [spec.name for spec in half if spec.kind == "rgb"] == ["b16_rgb"]
    faded = synthesis_plan(config, lod=1.25)
    assert rows(faded, "name", "merge", "fade", "enlarge")[-4] == ("b8_rgb", "replace", 0.0, 1)
    assert rows(faded, "name", "merge", "fade", "enlarge")[-1] == ("b16_rgb", "fade", 0.25, 2)
    smallest = synthesis_plan(config, lod=3)
    assert {spec.resolution for spec in smallest} == {4}
    assert smallest[-1].enlarge == 8


@pytest.mark.parametrize("name", GROWING)
def test_growing_discriminators_mirror_it(tiny_config, name: str) -> None:
    config = tiny_config(name, size=(32, 32))
    assert rows(discriminator_plan(config, lod=1.25), "name", "down", "merge", "fade")[:4] == [
        ("b16_from_rgb", 2, "replace", 0.0),
        ("b16_conv0", 1, "replace", 0.0),
        ("b16_conv1", 2, "replace", 0.0),
        ("b8_from_rgb", 2, "fade", 0.25),
    ]
    assert [spec.name for spec in discriminator_plan(config, lod=3)] == ["b4_from_rgb", "b4_head"]


@pytest.mark.parametrize("plan", [synthesis_plan, discriminator_plan])
def test_lod_is_checked(tiny_config, plan: Any) -> None:
    with pytest.raises(UsageError, match=r"lod is 1\.5, but the network does not grow; leave it 0\."):
        plan(tiny_config("stylegan2-f"), lod=1.5)
    for lod in (-0.5, 2.5):
        with pytest.raises(UsageError, match=rf"lod is {lod}; the network has levels 0 \(full size\) to 2\."):
            plan(tiny_config("progan"), lod=lod)


# ------------------------------------------------------------------------------------------ differences


def test_equal_plans_do_not_differ(tiny_config) -> None:
    assert plan_difference(synthesis_plan(tiny_config()), synthesis_plan(tiny_config())) is None


def test_the_first_differing_layer_is_named_with_its_values(tiny_config) -> None:
    one = synthesis_plan(tiny_config())
    other = synthesis_plan(tiny_config(synthesis__channel_base=32, synthesis__channel_max=4))
    difference = plan_difference(one, other)
    assert difference == "layer 0 (b4_input and b4_input): out_channels 8 and 4"


def test_a_longer_plan_differs_where_the_shorter_one_ends(tiny_config) -> None:
    plan = synthesis_plan(tiny_config())
    for pair in ((plan, plan[:-1]), (plan[:-1], plan)):
        assert plan_difference(*pair) == f"layer {len(plan) - 1} (b16_rgb) exists in one only"


def test_other_architectures_differ_by_name(tiny_config) -> None:
    difference = plan_difference(
        synthesis_plan(tiny_config("stylegan2-f")), synthesis_plan(tiny_config("stylegan2-e-gorig-dskip"))
    )
    assert difference is not None
    assert re.match(r"layer 1 \(b4_conv1 and b4_conv1\): closes_resolution False and True", difference)
