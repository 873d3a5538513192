"""What all configurations share: conversion to and from plain values, and refusal of what does not fit."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from sgkit.errors import ConfigError, did_you_mean

__all__ = ["Config", "override", "require"]

C = TypeVar("C", bound="Config")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: conversion to and from plain values."""

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


def override(config: C, changes: Mapping[str, Any]) -> C:
    """A copy of ``config`` with dotted keys replaced, as given by ``--set key=value``.

    ``changes`` maps names such as ``"synthesis.channel_base"`` to values or to text that is read as the field's type.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    values = config.to_dict()
    for key, value in changes.items():
        *parents, last = key.split(".")
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
                raise ConfigError(f"Unknown configuration group {where!r}. {did_you_mean(parent, known)}")
            node = node[parent]
        if last not in node:
            raise ConfigError(f"Unknown configuration key {key!r}. {_nearest(key, node, values)}")
        node[last] = value
    return type(config).from_dict(values)


def require(ok: bool, name: str, given: object, allowed: str) -> None:
    """Nothing where ``ok``.

    Raises:
        ConfigError: otherwise, naming the field, its value and what is allowed.
    """
    if not ok:
        raise ConfigError(f"{name} is {given!r}; it must be {allowed}.")


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
            name = f"{prefix}{key}"
            raise ConfigError(f"Unknown configuration key {name!r}. {did_you_mean(str(key), known)}")
        arguments[key] = _convert(hints[key], value, prefix + key)
    return cls(**arguments)


def _convert(kind: Any, value: Any, name: str) -> Any:
    """``value`` as the type that a field declares; text is read, so options need no parser of their own."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in args and (value is None or str(value).lower() in ("none", "null", "")):
            return None
        return _convert(next(a for a in args if a is not type(None)), value, name)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{name} is {value!r}. {did_you_mean(str(value), [str(a) for a in args])}")
        return value
    if origin is tuple:
        items = _words(value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ConfigError(f"{name} is {value!r}; it must be a list such as [1, 3].")
        kinds = [args[0]] * len(items) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(items):
            raise ConfigError(f"{name} is {value!r}; it must have {len(kinds)} values.")
        return tuple(_convert(k, item, name) for k, item in zip(kinds, items, strict=True))
    if isinstance(kind, type) and issubclass(kind, Config):
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is {value!r}; it must be a table of keys and values.")
        return _build(kind, value, name + ".")
    return _convert_scalar(kind, value, name)


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
        raise ConfigError(f"{name} is {value!r}; it must be true or false.")
    if kind in (int, float):
        return _number(kind, value, name)
    if kind is str:
        return str(value)
    return value


def _number(kind: type[int] | type[float], value: Any, name: str) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = kind(value)  # text of a large whole number would lose digits by way of float
        if not math.isfinite(number) or (isinstance(value, float) and number != value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        allowed = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} is {value!r}; it must be {allowed}.") from None
    return number
