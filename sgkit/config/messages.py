"""What is wrong with a configuration, in words: pydantic's list of errors as the text of a :class:`ConfigError`."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from sgkit.errors import did_you_mean
from sgkit.text import printable

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

LARGEST = 2**63 - 1
"""The largest whole number that anything may be."""
LONGEST_TEXT = 4096
LONGEST_LIST = 100_000
MOST_ERRORS = 3
"""How many wrong values one message names."""


def explain(cls: type, error: ValidationError) -> str:
    """The first few errors of ``cls``'s values, each with the key's whole name, the value, and what is allowed."""
    found: dict[tuple[int | str, ...], str] = {}
    for one in error.errors(include_url=False):
        place = tuple(takewhile(lambda part: isinstance(part, str), one["loc"]))
        if len(found) < MOST_ERRORS and place not in found:
            found[place] = _explain_one(cls, one)
    return " ".join(found.values())


def _explain_one(cls: type, error: ErrorDetails) -> str:
    name, kind = _locate(cls, error["loc"])
    problem, given, context = error["type"], error["input"], error.get("ctx", {})
    if problem == "config":
        name = f"{name}.{context['name']}".lstrip(".")
        return f"{name} is {shown(context['given'])}{context['rest']}"
    if problem in ("unexpected_keyword_argument", "invalid_key"):
        group = _locate(cls, error["loc"][:-1])[1]
        return unknown_key(cls, name, _names_of(group))
    if problem == "missing":
        return f"{name} is missing."
    if problem.startswith("union_tag"):
        tag, given = f"{name}.{context['discriminator']}".replace("'", ""), context.get("tag", "")
        what = f"is {shown(given)}" if given else "is missing"
        return f"{tag} {what}. {did_you_mean(given[:100], _tags_of(kind))}"
    if problem == "literal_error":
        return f"{name} is {shown(given)}. {did_you_mean(str(given)[:100], _words(kind))}"
    if problem == "string_too_long":
        given = Told(f"a text of {len(given):,} characters")
    if problem in ("too_long", "too_short"):
        given = Told(f"a list of {context['actual_length']:,} values")
    return f"{name} is {shown(given)}; it must be {_allowed(problem, kind, context)}."


def _allowed(problem: str, kind: Any, context: Mapping[str, Any]) -> str:
    """What a value must be, by the type of pydantic's error."""
    if problem == "string_too_long":
        return f"at most {LONGEST_TEXT:,} characters long"
    if problem == "too_long":
        return f"at most {context['max_length']:,} long"
    if problem == "too_short":
        return f"at least {context['min_length']} long"
    if problem.startswith(("greater_than", "less_than")):
        return _range(kind, upper=problem.startswith("less_than"))
    return allowed_types(kind)


_TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    tuple: "a list such as [1, 3]",
    list: "a list such as [1, 3]",
    dict: "a table of keys and values",
}


def allowed_types(kind: Any) -> str:
    """What a field takes, by its declared type: ``a whole number or text, or none``."""
    kinds = [get_origin(one) or one for one in members(kind) if one is not type(None)]
    words = [_TYPES[dict] if is_config(one) else _TYPES.get(one, "another value") for one in kinds]
    none = ", or none" if type(None) in members(kind) else ""
    return " or ".join(dict.fromkeys(words)) + none


_SIDES = {"ge": "{} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def _range(kind: Any, *, upper: bool) -> str:
    """``between 0 and 1``: the limits that the declared type of a number has."""
    limits = {name: getattr(one, name) for one in _limits(kind) for name in _SIDES if hasattr(one, name)}
    if not upper and max(limits.get("le", 0), limits.get("lt", 0)) >= 1e9:  # there to catch slips, not to guide
        limits = {name: limit for name, limit in limits.items() if name in ("ge", "gt")}
    shown = {name: f"{limit:,}" if isinstance(limit, int) else f"{limit:,.12g}" for name, limit in limits.items()}
    if {"ge", "le"} <= set(limits):
        words = f"between {shown['ge']} and {shown['le']}"
    else:
        words = " and ".join(_SIDES[name].format(shown[name]) for name in _SIDES if name in limits)
    return f"{words}, or none" if type(None) in members(kind) else words


def _limits(kind: Any) -> Iterator[Any]:
    metadata = list(kind.metadata) if isinstance(kind, FieldInfo) else list(getattr(kind, "__metadata__", ()))
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else [one]
    inner = kind.annotation if isinstance(kind, FieldInfo) else kind
    if get_origin(inner) in (Union, types.UnionType):
        for one in get_args(inner):
            yield from _limits(one)


def unknown_key(cls: type, key: str, group: Iterable[str], *, hint: str | None = None) -> str:
    """The message on a dotted key that a configuration ``cls`` lacks; ``group``: the keys that are where it is."""
    table, _, last = key[:200].rpartition(".")
    known = [f"{table}.{name}".lstrip(".") for name in group] + list(_leaves(cls))
    by_last = {name.rpartition(".")[2]: name for name in reversed(known)}
    near = difflib.get_close_matches(key[:200], known, n=1, cutoff=0.8)
    near = near or [by_last[name] for name in difflib.get_close_matches(last, by_last, n=1)]
    guess = f"Did you mean {near[0]!r}?" if near else did_you_mean(last, [*group] or _names_of(cls))
    return f"Unknown configuration key {shown(key)}. {f'Use {hint}.' if hint else guess}"


def _leaves(kind: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all values in a configuration and those that it holds."""
    for config in filter(is_config, members(kind)):
        for name, field in config.__pydantic_fields__.items():
            inner = list(_leaves(field, f"{prefix}{name}."))
            yield from inner or [prefix + name]


class Told(str):
    """What a message says of a value, in place of the value."""

    __slots__ = ()


def shown(value: object) -> str:
    """``value`` as a message shows it, whatever it is: cut short, without control characters."""
    if isinstance(value, Told):
        return str(value)
    try:
        return printable(repr(value), limit=200)
    except ValueError:  # Python does not write out whole numbers of thousands of digits
        return "a very long number"
    except RecursionError:
        return "a value that is nested too deeply"


# ------------------------------------------------------------------------------------------------ types


def is_config(kind: object) -> bool:
    """Whether a declared type is a configuration."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_fields__")


def members(kind: Any) -> list[Any]:
    """The types that a declared one is a union of, without their limits; the type itself when it is not a union."""
    if isinstance(kind, FieldInfo):
        return members(kind.annotation)
    if get_origin(kind) is Annotated:
        return members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [member for one in get_args(kind) for member in members(one)]
    return [kind]


def _names_of(kind: Any) -> list[str]:
    return [name for one in members(kind) if is_config(one) for name in one.__pydantic_fields__]


def _words(kind: Any) -> list[str]:
    """What may be given where one of several words, or of several kinds of tables, is wanted."""
    literals = [one for one in members(kind) if get_origin(one) is Literal]
    return [str(word) for one in literals for word in get_args(one)]


def _locate(kind: Any, place: tuple[int | str, ...]) -> tuple[str, Any]:
    """Dotted name and declared type of a place in the values of a configuration, as pydantic gives it."""
    name = ""
    for part in place:
        kinds = [one for one in members(kind) if one is not type(None)]
        tables = [one for one in kinds if is_config(one)]
        fields = [one.__pydantic_fields__[part] for one in tables if part in one.__pydantic_fields__]
        tagged = [one for one in tables if part in _tags_of(one)]
        if isinstance(part, int):
            items = [get_args(one) for one in kinds if get_origin(one) in (tuple, list)]
            kind = items[0][0 if items[0][-1] is Ellipsis else part] if items else Any
            name += f"[{part}]"
        elif len(tables) > 1 and tagged:
            kind = tagged[0]
        elif fields or not (len(kinds) > 1):
            tables_of = [get_args(one)[1] for one in kinds if get_origin(one) is dict]
            kind = fields[0] if fields else tables_of[0] if tables_of else Any
            name = f"{name}.{part}".lstrip(".")
    return name, kind


def _tags_of(kind: Any) -> list[str]:
    """The words that say which of several tables a place holds."""
    fields = [field for one in members(kind) if is_config(one) for field in one.__pydantic_fields__.values()]
    return [word for field in fields if len(_words(field)) == 1 for word in _words(field)]
