"""What any configuration can be made of: tables of several kinds, tables by name, paths, versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from sgkit.config.base import Config, Share, Text, override
from sgkit.errors import ConfigError


class Pad(Config):
    """One kind of edit."""

    kind: Literal["pad"] = "pad"
    left: Annotated[int, Field(ge=0, le=64)] = 0
    mode: Literal["reflect", "zeros"] = "reflect"


class Move(Config):
    """Another kind of edit."""

    kind: Literal["move"] = "move"
    amount: float


class Picture(Config):
    """A small scene."""

    VERSION_KEY: ClassVar[str] = "scene"

    scene: int = 2
    subjects: dict[str, Pad] = Field(default_factory=dict)
    edits: tuple[Annotated[Pad | Move, Field(discriminator="kind")], ...] = ()
    size: tuple[int, int] | None = None
    file: Path | None = None
    psi: Share = 1.0
    name: Text = ""
    label: int | str | None = None


PICTURE = Picture(
    subjects={"a": Pad(left=3)}, edits=(Move(amount=2.0), Pad()), size=(4, 8), file=Path("a/b.npz"), label="cat"
)


def test_all_kinds_of_values_read_back_equal() -> None:
    for values in (PICTURE.to_dict(), PICTURE.to_dict(defaults=False)):
        assert Picture.from_dict(values) == PICTURE


def test_defaults_may_be_left_out_but_for_what_says_which_kind_it_is() -> None:
    assert Picture().to_dict(defaults=False) == {"scene": 2}
    assert PICTURE.to_dict(defaults=False) == {
        "scene": 2,
        "subjects": {"a": {"kind": "pad", "left": 3}},
        "edits": [{"kind": "move", "amount": 2.0}, {"kind": "pad"}],
        "size": [4, 8],
        "file": "a/b.npz",
        "label": "cat",
    }


def test_names_of_files_need_not_be_valid_utf_8() -> None:
    picture = Picture(name="caf\udce9.png")
    assert Picture.from_dict(picture.to_dict()) == picture


def test_a_copy_is_checked_as_well() -> None:
    assert replace(PICTURE, psi=0.5).psi == 0.5
    with pytest.raises(ConfigError, match=r"psi is 1.5; it must be between 0 and 1"):
        replace(PICTURE, psi=1.5)


def test_override_reaches_into_tables_by_name_and_lists() -> None:
    changed = override(PICTURE, {"subjects.a.left": "7", "edits.0.amount": "0.5", "size": "none", "label": "3"})
    assert changed.subjects["a"].left == 7
    assert (changed.edits[0], changed.size, changed.label) == (Move(amount=0.5), None, "3")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scene": 3}, "scene is version 3; this sgkit reads versions up to 2. Update sgkit."),
        ({"edits": [{"kind": "padd"}]}, "edits[0].kind is 'padd'. Did you mean 'pad'? Allowed: pad, move."),
        ({"edits": [{}]}, "edits[0].kind is missing. Allowed: pad, move."),
        ({"edits": [{"kind": "move"}]}, "edits[0].amount is missing."),
        ({"edits": [{"kind": "pad", "left": -1}]}, "edits[0].left is -1; it must be between 0 and 64."),
        (
            {"edits": [{"kind": "pad", "lefd": 1}]},
            "Unknown configuration key 'edits[0].lefd'. Did you mean 'edits[0].left'?",
        ),
        ({"edits": 3}, "edits is 3; it must be a list such as [1, 3]."),
        ({"subjects": {"a": {"mode": "x"}}}, "subjects.a.mode is 'x'. Allowed: reflect, zeros."),
        ({"subjects": [1]}, "subjects is [1]; it must be a table of keys and values."),
        ({"subjects": {"a": 3}}, "subjects.a is 3; it must be a table of keys and values."),
        ({"label": [1]}, "label is [1]; it must be a whole number or text, or none."),
        ({"name": [3]}, "name is [3]; it must be text."),
        ({"name": "a" * 5000}, "name is a text of 5,000 characters; it must be at most 4,096 characters long."),
        ({"file": 3}, "file is 3; it must be a path, or none."),
        ({"edits": [{}] * 100_001}, "edits is a list of 100,001 values; it must be at most 100,000 long."),
        ({"size": [[[[1]]]]}, "size is [[[[1]]]]; it must be a list of 2 values."),
        ({"psi": 2, "size": 3}, "size is 3; it must be a list such as [1, 3], or none. psi is 2; it must be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Picture.from_dict(values)
    assert str(caught.value).startswith(message)


def test_of_many_mistakes_the_first_three_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Picture.from_dict({f"k{index}": 1 for index in range(1000)} | {"edits": [{"kind": "x"}] * 1000})
    assert str(caught.value).count("Unknown configuration key") == 2
    assert str(caught.value).count("edits[0].kind is 'x'") == 1


def test_values_nested_without_end_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match="it must be"):
        Picture.from_dict({"psi": deep})
    with pytest.raises(ConfigError, match="it must be"):
        Picture.from_dict({"size": [deep, 1]})
