from __future__ import annotations

import re
from pathlib import Path

import pytest

from sgkit.config.presets import preset
from sgkit.edits import (
    Selection,
    at_index,
    at_kind,
    at_styles,
    between,
    closing,
    compose,
    everywhere,
    from_pixels,
    matching,
    parse_layers,
    to_pixels,
    when,
)
from sgkit.errors import EditError, UsageError
from sgkit.model import Branch, Plan, State, bound, synthesis_plan, walk

FAMILIES = ("progan", "stylegan1-f", "stylegan2-f", "stylegan2-e-gresnet-dorig", "self-modulated", "stylegan3-t")
EXAMPLES: dict[str, Selection] = {
    'at_kind("rgb")': at_kind("rgb"),
    "closing(8)": closing(8),
    "closing(share=1/8)": closing(share=1 / 8),
    "between(8, 16)": between(8, 16),
    "to_pixels(8)": to_pixels(8),
    "from_pixels(200)": from_pixels(200),
    "at_index(0, -1)": at_index(0, -1),
    "at_styles(0, 3)": at_styles(0, 3),
}


def plan_of(name: str) -> Plan:
    return synthesis_plan(preset(name, image_size=(256, 256)).model)


def names(selection: Selection, plan: Plan) -> list[str]:
    picked = selection.layers(plan)
    return [spec.name for spec in plan if spec.index in picked]


def short(found: list[str]) -> str:
    """The first and the last of three or more."""
    return " ".join(found) if len(found) < 4 else f"{found[0]} ... {found[-1]} ({len(found)})"


def table() -> str:
    """What the examples pick in each family at 256 pixels, as docs/concepts/edits.md shows it."""
    rows = [["selection", *FAMILIES], ["---"] * (len(FAMILIES) + 1)]
    for code, selection in EXAMPLES.items():
        rows.append([f"`{code}`", *(short(names(selection, plan_of(name))) for name in FAMILIES)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_documentation_shows_what_selections_pick_in_each_family() -> None:
    page = Path(__file__).parents[2] / "docs/concepts/edits.md"
    assert table() in page.read_text(encoding="utf-8"), f"docs/concepts/edits.md must hold:\n{table()}"


@pytest.mark.parametrize("name", [*FAMILIES, "stylegan3-r"])
@pytest.mark.parametrize("selection", EXAMPLES.values(), ids=EXAMPLES)
def test_one_selection_serves_every_architecture(name: str, selection: Selection) -> None:
    """Also StyleGAN3, whose resolutions start at 16: nothing asks for exactly 8 pixels."""
    plan = plan_of(name)
    assert selection.layers(plan) <= {spec.index for spec in plan}


@pytest.mark.parametrize("name", FAMILIES)
def test_from_and_to_share_out_the_layers(name: str) -> None:
    plan = plan_of(name)
    lower, upper = to_pixels(32).layers(plan), from_pixels(64).layers(plan)
    assert lower | upper == everywhere.layers(plan)
    assert not lower & upper
    assert to_pixels(9999).layers(plan) == everywhere.layers(plan)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", range(14)),
        ("coarse", range(4)),
        ("pose", range(4)),
        ("middle", range(4, 8)),
        ("fine", range(8, 14)),
        ("Fine ", range(8, 14)),
        ("4-7", range(4, 8)),
        ("0,2-3, 13", (0, 2, 3, 13)),
        ("to 32px", range(8)),
        ("from 64px", range(7, 14)),  # a w drives the image of 32 pixels and the first layer of 64
    ],
)
def test_layers_in_words(text: str, expected: object) -> None:
    plan = plan_of("stylegan2-f")
    assert parse_layers(text, plan).styles(plan) == tuple(expected)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corse", "Unknown layers 'corse'. Did you mean 'coarse'?"),
        ("3-1", "'3-1' names no layers; the model has 14 layers of w+."),
        ("4-14", "Layer 14 is out of range; the model has 14 layers of w+."),
        ("from 512px", "The model has no layers from 512 pixels on ('from 512px')"),
        ("", "Unknown layers ''"),
    ],
)
def test_wrong_layers_say_what_is_allowed(text: str, message: str) -> None:
    allowed = "Allowed: all, coarse, middle, fine, pose, numbers from 0 to 13 such as 0-3,5, 'to 32px', 'from 64px', "
    allowed += "'at 16px', and names from b4_input to b256_rgb."
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        parse_layers(text, plan_of("stylegan2-f"))
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (closing(1024), "this network has no layers that close a resolution of 1024 pixels or more"),
        (at_index(99), "this network has no layers at 99 in the plan"),
        (at_kind("head"), "this network has no layers of kind head"),
        (at_styles(40), "this network has no layers with styles 40 to the last"),
        (between(512, 1024), "this network has no layers from 512 to 1024 pixels"),
        (matching(lambda spec: spec.name == "b32_conv0", "called b32_conv0"), "no layers called b32_conv0. Its layers"),
    ],
)
def test_an_edit_without_layers_is_refused_before_anything_is_computed(
    tiny_model, branches_of, monkeypatch: pytest.MonkeyPatch, selection: Selection, message: str
) -> None:
    branches: list[Branch] = branches_of(tiny_model())
    monkeypatch.setattr(type(branches[0].network), "step", lambda *_: pytest.fail("computed"))
    for edit in (when(selection, lambda _, states: states), compose(when(selection, lambda _, states: states))):
        with pytest.raises(EditError, match=re.escape(message)) as caught:
            walk(branches, edit=edit)
        assert "b4_input (4 px), b4_conv1 (4 px)" in str(caught.value)


def test_closing_takes_pixels_or_a_share() -> None:
    for arguments in ({}, {"pixels": 8, "share": 0.5}):
        with pytest.raises(UsageError, match=r"Give closing\(\) a number of pixels, or a share"):
            closing(**arguments).layers(plan_of("progan"))  # type: ignore[arg-type]


def test_edits_run_in_the_order_given(tiny_model, branches_of) -> None:
    plan, seen = tiny_model().generator.synthesis.plan, []

    def noting(name: str):
        return when(at_index(0), lambda _, states: (seen.append(name), states)[1])

    act = bound(compose(noting("first"), lambda _, states: (seen.append("plain"), states)[1], noting("last")), plan)
    act(plan[0], [State()])
    act(plan[1], [State()])
    assert seen == ["first", "plain", "last", "plain"]
