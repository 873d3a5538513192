"""What ``--help`` of every command shows besides its own options: readable types, ``-q`` and ``-v``, examples."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.examples import EXAMPLES


def finished(command: Any, path: str) -> Any:
    """``command`` (and every command of a group) with readable help, ``-q``, ``-v`` and examples.

    Args:
        command: what Typer made of it.
        path: how it is called, without ``sgkit``: ``data info``.
    """
    of_help = command.get_help_option
    command.get_help_option = lambda context: _readable(of_help(context))
    for parameter in command.params:
        _readable(parameter)
    if not any("--quiet" in parameter.opts for parameter in command.params):
        command.params.extend(_loudness())
    if path in EXAMPLES:
        command.epilog = example_text(path)
    for name, child in getattr(command, "commands", {}).items():
        finished(child, f"{path} {name}".strip())
    return command


def example_text(path: str) -> str:
    """The examples of a command, as they are shown under its options."""
    return "Examples:\n" + "\n".join(f"  # {what}\n  {line}" for what, line in EXAMPLES[path])


# ------------------------------------------------------------------------------------------ -q and -v


def _be_quiet(wanted: bool) -> None:
    if wanted:
        report.set_loudness("quiet")


def _be_verbose(wanted: bool) -> None:
    if wanted:
        report.set_loudness("verbose")


QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_be_quiet, expose_value=False, help="Show results, warnings and errors only."
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", callback=_be_verbose, expose_value=False, help="Also show what is loaded, chosen and used."
    ),
]


@functools.cache
def _loudness() -> list[Any]:
    """The two options, as every command takes them."""

    def carrier(quiet: QuietOption = False, verbose: VerboseOption = False) -> None:
        """Nothing."""

    single = typer.Typer(add_completion=False)
    single.command()(carrier)
    return [_readable(parameter) for parameter in typer.main.get_command(single).params]


# ---------------------------------------------------------------------------------------- types in help


def _readable(parameter: Any) -> Any:
    """``parameter``, whose help shows no types of Python such as ``<bool>``, no braces, and ranges in words."""
    if parameter is None or isinstance(parameter.display_type_rich, functools.partial):
        return parameter
    is_argument = parameter.param_type_name == "argument"
    shown = "" if getattr(parameter, "is_flag", False) or is_argument else None
    parameter.display_type_rich = functools.partial(_type_in_help, parameter.display_type_rich, shown)
    if hasattr(parameter, "_get_number_range_help_str"):
        parameter._get_number_range_help_str = functools.partial(_range, parameter)
    if is_argument:
        parameter._usage_display_name = functools.partial(_in_usage, parameter)
    return parameter


def _type_in_help(before: Callable[..., str | None], shown: str | None, ctx: Any) -> str | None:
    text = before(ctx=ctx) if shown is None else shown
    return text.strip("<>") if text else None


def _range(parameter: Any) -> str | None:
    """``1 or more``, ``0 to 1``; ``None``: any number."""
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is None:
        return None if most is None else f"up to {most:g}"
    return f"{least:g} or more" if most is None else f"{least} to {most}"


def _in_usage(parameter: Any) -> str:
    """``MODEL``, ``IMAGE...`` or ``[NAME]`` in the line of usage."""
    name = str(parameter.display_name_raw).rstrip(".") + ("..." if parameter.nargs != 1 else "")
    return name if parameter.required else f"[{name}]"
