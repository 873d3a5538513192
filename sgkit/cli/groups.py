"""Groups of options that several commands share: a command takes a dataclass of options as one argument.

.. code-block:: python

    @dataclass(frozen=True, kw_only=True)
    class RunOptions:
        device: DeviceOption = "auto"
        force: ForceOption = False

    @flatten_options
    def tune(model: ModelArgument, *, run: RunOptions) -> None: ...  # sgkit tune MODEL [--device] [--force]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class Without(frozenset[str]):
    """Options of a group that a command does not take: ``Annotated[RunOptions, Without({"force"})]``."""

    __slots__ = ()


def flatten_options(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as Typer reads it: in place of each group stand its options, in the order of the dataclass.

    Options that the command does not take keep their defaults.
    """
    groups: dict[str, tuple[Any, list[str]]] = {}
    parameters: list[Parameter] = []
    for name, hint in get_type_hints(command, include_extras=True).items():
        if name == "return":
            continue
        options = [inspect.signature(command).parameters[name].replace(annotation=hint)]
        group, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if is_dataclass(group):
            options = _options(group, omitted=Without().union(*(one for one in extras if isinstance(one, Without))))
            groups[name] = group, [option.name for option in options]
        parameters += [option.replace(kind=Parameter.KEYWORD_ONLY) for option in options]

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        for name, (group, options) in groups.items():
            values[name] = group(**{option: values.pop(option) for option in options})
        command(**values)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _options(group: Any, omitted: frozenset[str]) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(group)
        if field.name not in omitted
    ]
