"""Configuration files: TOML, as sgkit writes it and as people edit it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgkit.errors import ConfigError, InputError
from sgkit.faults import explain
from sgkit.runtime.limits import read_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BITS = 63
_DEEPEST_KEY = 64
_DEEP_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){{{_DEEPEST_KEY}}}""")
"""Keys of many parts take tomllib a time that grows with the square of their number."""


def read_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file: in UTF-8, or in UTF-16 as some editors on Windows save it, with a byte-order mark."""
    try:
        data = read_file(path, kind="configuration")
    except OSError as error:
        fault = explain(error)
        raise InputError(f"Cannot read configuration {path}: {fault.text if fault else error}.") from None
    try:
        return _parse(data)
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of more digits than Python reads
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(
            f"Configuration {path} is not valid TOML: {reason}. Correct it, or put back a copy (in a run folder, the "
            "configuration is also shown at the end of report.html)."
        ) from None


def _parse(data: bytes) -> dict[str, Any]:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8; save it in that encoding") from None
    if _DEEP_KEY.search(text):
        raise ValueError(f"a key has more than {_DEEPEST_KEY} parts")
    values: dict[str, Any] = tomllib.loads(text.replace("\r\n", "\n"))
    _check_numbers(values, "")
    return values


def _check_numbers(value: Any, name: str) -> None:
    """Refuse whole numbers beyond the 64 bits that TOML has: tomllib reads hexadecimal ones of any length."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_numbers(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for item in value:
            _check_numbers(item, name)
    elif isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f"the number {name!r} does not fit in 64 bits")


def to_toml(values: Mapping[str, Any]) -> str:
    """``values`` (what :meth:`Config.to_dict` gives) as TOML. ``None``, which TOML lacks, becomes ``"none"``."""
    return "\n".join(_toml_lines(values, "")) + "\n"


def _toml_lines(values: Mapping[str, Any], table: str) -> list[str]:
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{table}{key}]", *_toml_lines(value, f"{table}{key}.")]
    return lines


def _toml_value(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    text = json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans are written alike in both
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(
            f"{value} is not valid UTF-8, so a configuration file cannot hold it. Rename that file or folder."
        )
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is
