"""What really stands on the command line, to refuse what would change nothing, and to be typed again."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import typer

from sgkit.errors import UsageError
from sgkit.text import shell_word


class Given:
    """The parameters that stand on the command line, to refuse those that would change nothing."""

    def __init__(self, context: typer.Context) -> None:
        sources = {
            str(parameter.name): context.get_parameter_source(str(parameter.name))
            for parameter in context.command.params
        }
        self._names = {
            str(parameter.name): _written(parameter, context.params.get(str(parameter.name)))
            for parameter in context.command.params
            if getattr(sources[str(parameter.name)], "name", "") == "COMMANDLINE"
        }

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def without(self, name: str) -> Given:
        """The same but for the parameter ``name``, which had its effect already."""
        found = copy.copy(self)
        found._names = {key: value for key, value in self._names.items() if key != name}
        return found

    def refuse(self, *names: str, when: bool, because: str) -> None:
        """Refuse the parameters ``names`` if they were given ``when`` they have no effect.

        Raises:
            UsageError: names the first of them and says why it has none.
        """
        for option in (self._names[name] for name in names if when and name in self):
            raise UsageError(f"{option} has no effect here: {because}. Remove {option}.")


def typed(context: typer.Context) -> str:
    """The command as it can be typed again: its arguments, then the options that were given."""
    words, options = context.command_path.split(), []
    for parameter in context.command.params:
        name = str(parameter.name)
        if getattr(context.get_parameter_source(name), "name", "") != "COMMANDLINE":
            continue
        value = context.params.get(name)
        values = value if isinstance(value, list) else [value]
        if parameter.param_type_name == "argument":
            words += [shell_word(one) for one in values]
        elif isinstance(value, bool):
            options.append(_written(parameter, value))
        else:
            options += [f"{_written(parameter, value)} {shell_word(one)}" for one in values]
    return " ".join([*words, *options])


def _written(parameter: Any, value: object) -> str:
    """How an option is written: ``--noise``, or ``--no-noise`` when that was given."""
    off = [*parameter.secondary_opts] if value is False else []
    return str([*off, *parameter.opts][0])


def refuse_infinite(command: Any) -> Any:
    """``command`` (or every command of a group), made to refuse numbers that are NaN or infinite."""
    if command.callback is not None:
        command.callback = _finite(command.callback, {str(one.name): one for one in command.params})
    for child in getattr(command, "commands", {}).values():
        refuse_infinite(child)
    return command


def _finite(callback: Callable[..., Any], parameters: Mapping[str, Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def checked(**values: Any) -> Any:
        for name, value in values.items():
            numbers = value if isinstance(value, (tuple, list)) else [value]
            wrong = [one for one in numbers if isinstance(one, float) and not math.isfinite(one)]
            if wrong:
                raise UsageError(f"Invalid value for '{_written(parameters[name], value)}': {wrong[0]} is not finite.")
        return callback(**values)

    return checked
