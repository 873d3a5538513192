"""What all configurations share: validation by pydantic, plain values, and messages that name the key at fault.

A configuration is a pydantic dataclass: ``dataclasses.replace``, ``fields`` and ``asdict`` work on it as on any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, cast, get_args, get_origin

from pydantic import ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs, PydanticCustomError, to_jsonable_python
from typing_extensions import dataclass_transform

from sgkit.config import messages
from sgkit.config.messages import LARGEST, LONGEST_LIST, LONGEST_TEXT, Told, members
from sgkit.errors import ConfigError, did_you_mean

C = TypeVar("C", bound="Config")


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise PydanticCustomError("string_type", "text")
    if len(text := str(value)) > LONGEST_TEXT:
        raise PydanticCustomError("string_too_long", "a long text")
    return text


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
"""As ``str``, but for names of files: pydantic's own refuses those that are not valid UTF-8."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction or a probability."""
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Kimg = Annotated[float, Field(gt=0, le=1e9)]
"""Thousands of images."""


_SETTINGS = ConfigDict(
    extra="forbid",
    allow_inf_nan=False,
    coerce_numbers_to_str=True,
    str_max_length=LONGEST_TEXT,
    arbitrary_types_allowed=True,
    defer_build=True,
)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class _ConfigType(type):
    """Makes every subclass of :class:`Config` a pydantic dataclass whose errors are :class:`ConfigError`."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        made: Any = super().__new__(cls, name, bases, namespace)
        return dataclass(made, frozen=True, kw_only=True, config=_SETTINGS)

    def __call__(cls, *args: Any, **values: Any) -> Any:
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise ConfigError(messages.explain(cls, error)) from None


class Config(metaclass=_ConfigType):
    """Base of all configurations: their values are checked when they are made, by hand or from plain values."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Any]]
        __pydantic_fields__: ClassVar[dict[str, FieldInfo]]

    VERSION_KEY: ClassVar[str] = ""
    """The field, if any, that holds the version of the format; its default is the newest that this sgkit reads."""

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, given: Any) -> Any:
        """Values as the fields' types want them, where they are given as text."""
        values = given.kwargs if isinstance(given, ArgsKwargs) else given
        if not isinstance(values, dict):
            return given
        fields = cls.__pydantic_fields__
        read = {key: _read(fields[key], value, key) for key, value in values.items() if key in fields}
        read |= dict(islice((item for item in values.items() if item[0] not in fields), messages.MOST_ERRORS))
        return ArgsKwargs(given.args, read) if isinstance(given, ArgsKwargs) else read

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers, strings, booleans and ``None``; :meth:`from_dict` reads it back.

        Without ``defaults``, values that are their field's default are left out.
        """
        return cast("dict[str, Any]", to_jsonable_python(self if defaults else _sparse(self)))

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Make a configuration from plain values.

        Raises:
            ConfigError: a key is unknown (the nearest known one is named), a value does not fit, or the values have a
                newer version.
        """
        if cls.VERSION_KEY:
            given, newest = values.get(cls.VERSION_KEY), getattr(cls, cls.VERSION_KEY)
            if isinstance(given, int) and given > newest:
                raise ConfigError(
                    f"{cls.VERSION_KEY} is version {given}; this sgkit reads versions up to {newest}. Update sgkit."
                )
        return cls(**{str(key): value for key, value in values.items()})

    def require(self, ok: bool, name: str, allowed: str) -> None:
        """Nothing where ``ok``; for checks in ``__post_init__`` of what several fields hold together.

        Raises:
            PydanticCustomError: otherwise; becomes a :class:`ConfigError` that names the field (dotted where another
                configuration has it), its value and what is ``allowed``.
        """
        if not ok:
            raise _error(name, attrgetter(name)(self), f"; it must be {allowed}.")

    def require_words(self, name: str, words: Iterable[str], allowed: Iterable[str]) -> None:
        """Nothing where all of the ``words``, of which a field's text is made, are ``allowed``.

        Raises:
            PydanticCustomError: otherwise, as :meth:`require`.
        """
        for word in words:
            if word not in allowed:
                near = did_you_mean(word[:100], allowed)
                raise _error(name, getattr(self, name), f", with {messages.shown(word)}. {near}")


def _error(name: str, given: object, rest: str) -> PydanticCustomError:
    return PydanticCustomError("config", "{name}", {"name": name, "given": given, "rest": rest})


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
        table, last = _table_of(values, key), key.rpartition(".")[2]
        if last not in _items(table):
            raise ConfigError(messages.unknown_key(type(config), key, _items(table), hint=synonym(last)))
        table[int(last) if isinstance(table, list) else last] = value
    return type(config).from_dict(values)


def _table_of(values: Any, key: str) -> Any:
    """The table or list that holds the last part of a dotted ``key``; something else where there is none."""
    *groups, _ = key.split(".")
    for depth, group in enumerate(groups):
        values = _items(values).get(group, "")
        if values is None:
            where = ".".join(groups[: depth + 1])
            raise ConfigError(f"There is no {where!r} in this configuration, so {key!r} cannot be set. Leave it out.")
    return values


def _items(values: object) -> dict[str, Any]:
    if isinstance(values, list):
        return {str(index): item for index, item in enumerate(values)}
    return values if isinstance(values, dict) else {}


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


def _sparse(value: Any) -> Any:
    """``value`` without fields that have their default, but for those that say which of several kinds it is."""
    if isinstance(value, Config):
        return {name: _sparse(getattr(value, name)) for name in value.__pydantic_fields__ if _says(value, name)}
    if isinstance(value, dict):
        return {key: _sparse(item) for key, item in value.items()}
    return [_sparse(item) for item in value] if isinstance(value, (list, tuple)) else value


def _says(config: Config, name: str) -> bool:
    field = config.__pydantic_fields__[name]
    is_tag = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    default = field.get_default(call_default_factory=True, validated_data={})
    return is_tag or name == config.VERSION_KEY or bool(getattr(config, name) != default)


def _read(kind: Any, value: object, name: str) -> object:
    """``value``, with text as the declared type ``kind`` wants it: lists, words in any case, and ``none``."""
    kinds = members(kind)
    if isinstance(value, str):
        if type(None) in kinds and value.lower() in ("none", "null", ""):
            return None
        words = [word for one in kinds if get_origin(one) is Literal for word in get_args(one)]
        same = [word for word in words if str(word).lower() == value.lower()]
        if same:
            return same[0]
    sequence = next((one for one in kinds if get_origin(one) in (tuple, list)), None)
    if sequence is not None:
        return _read_items(get_args(sequence), value, name, is_text=str in kinds)
    if isinstance(value, bool) and bool not in kinds and {int, float} & set(kinds):
        raise _error(name, value, f"; it must be {messages.allowed_types(kind)}.")
    return value


def _read_items(kinds: tuple[Any, ...], given: object, name: str, *, is_text: bool) -> object:
    value = given
    if isinstance(value, str) and not is_text:
        inside = value.strip("()[] ")
        value = [word.strip() for word in inside.split(",")] if inside else []
    if not isinstance(value, (list, tuple)):
        return given
    if len(value) > LONGEST_LIST:
        raise _error(name, Told(f"a list of {len(value):,} values"), f"; it must be at most {LONGEST_LIST:,} long.")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise _error(name, given, f"; it must be a list of {len(kinds)} values.")
    return [_read(kind, item, f"{name}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value, strict=True))]
