"""What all configurations share: conversion to and from plain values, and refusal of what does not fit."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, Union

from sgkit.errors import ConfigError, did_you_mean
from sgkit.text import printable

C = TypeVar("C", bound="Config")
LARGEST = 2**63 - 1
"""The largest whole number that anything may be."""
LONGEST_TEXT = 4096
LONGEST_LIST = 100_000


class FieldError(ConfigError):
    """A value does not fit its field; the text starts with the field's name."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: conversion to and from plain values, and upper limits of numbers."""

    AT_MOST: ClassVar[Mapping[str, float]] = {}
    """Field -> largest number that it may hold, or that the items of its list may. What is larger is a slip: it would
    only fill the memory, or never end."""

    def __post_init__(self) -> None:
        for name, limit in self.AT_MOST.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            largest = max((number for number in numbers if number is not None), default=0)
            require(largest <= limit, name, value, f"at most {limit:,}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers, strings, booleans and ``None``; :meth:`from_dict` reads it back."""
        return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Make a configuration from plain values.

        Raises:
            ConfigError: a key is unknown (the nearest known one is named) or a value has the wrong type.
        """
        return _build(cls, values, "")


def override(
    config: C,
    changes: Mapping[str, Any],
    *,
    synonym: Callable[[str], str | None] = lambda key: None,  # noqa: ARG005
) -> C:
    """A copy of ``config`` with dotted keys replaced, as given by ``--set key=value``.

    ``changes`` maps names such as ``"synthesis.channel_base"`` to values or to text that is read as the field's type.
    ``synonym`` gives for what other tools call a key what it is here, in words, for the message on an unknown one.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    values = config.to_dict()
    for key, value in changes.items():
        *parents, last = key.split(".")
        known_as = synonym(last)
        node = values
        for depth, parent in enumerate(parents):
            if not isinstance(node.get(parent), dict):
                known = [k for k, v in node.items() if isinstance(v, dict)]
                where = ".".join(parents[: depth + 1])
                if parent in node:
                    if node[parent] is None:
                        raise ConfigError(
                            f"There is no {where!r} with this preset, so {key!r} cannot be set. Leave it out."
                        )
                    raise ConfigError(f"{where!r} is {node[parent]!r}, one value, so it has no key {last!r}.")
                hint = f"Use {known_as}." if known_as else did_you_mean(parent[:100], known)
                raise ConfigError(f"Unknown configuration group {_shown(where)}. {hint}")
            node = node[parent]
        if last not in node:
            hint = f"Use {known_as}." if known_as else _nearest(key[:200], node, values)
            raise ConfigError(f"Unknown configuration key {_shown(key)}. {hint}")
        node[last] = value
    return type(config).from_dict(values)


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> its values in ``one`` and ``other``, where these differ."""
    return _differences(one.to_dict(), other.to_dict(), "")


def _differences(one: Any, other: Any, name: str) -> dict[str, tuple[Any, Any]]:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return {} if one == other else {name: (one, other)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in one:
        found |= _differences(one[key], other.get(key), f"{name}.{key}".lstrip("."))
    return found


def require_each(config: Config, names: Iterable[str], *, least: float) -> None:
    """Nothing where each of the fields ``names`` is ``least`` or more, or ``None``.

    Raises:
        FieldError: otherwise.
    """
    for name in names:
        value = getattr(config, name)
        require(value is None or value >= least, name, value, f"{least:g} or more")


def require(ok: bool, name: str, given: object, allowed: str) -> None:
    """Nothing where ``ok``.

    Raises:
        ConfigError: otherwise, naming the field, its value and what is allowed.
    """
    if not ok:
        raise FieldError(f"{name} is {_shown(given)}; it must be {allowed}.")


def check_settings(settings: Any) -> None:
    """Bring the fields of a frozen dataclass to their types; called from its ``__post_init__``.

    Words are compared without regard to upper and lower case, numbers must be finite. Fields of other types than
    numbers, words, true and false, and ``None`` stay as they are.

    Raises:
        ConfigError: a value does not fit its field; the message names both.
    """
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        if _is_plain_type(hints[field.name]):
            value = _convert(hints[field.name], getattr(settings, field.name), field.name)
            object.__setattr__(settings, field.name, value)


def _is_plain_type(kind: Any) -> bool:
    if typing.get_origin(kind) in (Union, types.UnionType):
        kinds = [one for one in typing.get_args(kind) if one is not type(None)]
        return len(kinds) == 1 and _is_plain_type(kinds[0])
    return kind in (int, float, bool) or typing.get_origin(kind) is Literal


def _nearest(key: str, node: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The whole name nearest to an unknown one: of its own group ``node``, or else of any group."""
    group, _, last = key.rpartition(".")
    names = {name: f"{group}.{name}".lstrip(".") for name in node}
    for name in _names(values):
        names.setdefault(name.rpartition(".")[2], name)
    near = difflib.get_close_matches(last, node, n=1) or difflib.get_close_matches(last, names, n=1)
    return f"Did you mean {names[near[0]]!r}?" if near else did_you_mean(last, node)


def _names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _build(cls: type[C], values: Mapping[str, Any], prefix: str) -> C:
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"Unknown configuration key {_shown(f'{prefix}{key}')}. {did_you_mean(str(key)[:100], known)}"
            )
        arguments[key] = _convert(hints[key], value, prefix + key)
    try:
        return cls(**arguments)
    except FieldError as error:
        raise ConfigError(f"{prefix}{error}") from None


def _convert(kind: Any, value: Any, name: str) -> Any:
    """``value`` as the type that a field declares; text is read, so options need no parser of their own."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in args and (value is None or (isinstance(value, str) and value.lower() in ("none", "null", ""))):
            return None
        return _convert(next(a for a in args if a is not type(None)), value, name)
    if origin is Literal:
        same = [word for word in args if value == word or str(word).lower() == str(value).lower()]
        if not same:
            raise ConfigError(f"{name} is {_shown(value)}. {did_you_mean(str(value)[:100], [str(a) for a in args])}")
        return same[0]
    if origin is tuple:
        items = _words(value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ConfigError(f"{name} is {_shown(value)}; it must be a list such as [1, 3].")
        require(len(items) <= LONGEST_LIST, name, f"a list of {len(items):,}", f"at most {LONGEST_LIST:,} values long")
        kinds = [args[0]] * len(items) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(items):
            raise ConfigError(f"{name} is {_shown(value)}; it must have {len(kinds)} values.")
        return tuple(_convert(k, item, name) for k, item in zip(kinds, items, strict=True))
    if isinstance(kind, type) and issubclass(kind, Config):
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is {_shown(value)}; it must be a table of keys and values.")
        return _build(kind, value, name + ".")
    return _convert_scalar(kind, value, name)


def _shown(value: object) -> str:
    """``value`` as a message shows it, whatever it is: cut short, without control characters."""
    try:
        return printable(repr(value), limit=200)
    except ValueError:  # Python does not write out whole numbers of thousands of digits
        return "a very long number"


def _words(text: str) -> list[str]:
    """The items of a list that is given as text, such as ``[1, 3]`` or ``1,3``."""
    inside = text.strip("()[] ")
    return [word.strip() for word in inside.split(",")] if inside else []


def _convert_scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, bool):
            return value
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise ConfigError(f"{name} is {_shown(value)}; it must be true or false.")
    if kind in (int, float):
        return _number(kind, value, name)
    if kind is str:
        require(not isinstance(value, (list, dict)), name, value, "text")
        require(len(str(value)) <= LONGEST_TEXT, name, f"{len(str(value)):,} characters", f"at most {LONGEST_TEXT:,}")
        return str(value)
    return value


def _number(kind: type[int] | type[float], value: Any, name: str) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = kind(value)  # text of a large whole number would lose digits by way of float
        if not math.isfinite(number) or (isinstance(value, float) and number != value):
            raise ValueError
        if kind is int and abs(number) > LARGEST:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        allowed = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} is {_shown(value)}; it must be {allowed}.") from None
    return number
