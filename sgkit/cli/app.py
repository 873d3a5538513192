"""The ``sgkit`` command: a table of commands that are loaded when called, and one place where errors become messages.

To add a command, write ``sgkit/cli/<name>.py`` with a function (or, for a group, a ``typer.Typer``) and add one row to
:data:`COMMANDS`. The row's help is the first line of the function's docstring; ``sgkit --help`` imports nothing for it.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import sgkit
from sgkit.cli import report, terminal
from sgkit.cli.given import refuse_infinite
from sgkit.cli.help import finished
from sgkit.cli.hints import command_hint, option_message
from sgkit.errors import SgkitError
from sgkit.faults import explain


@dataclass(frozen=True)
class CommandRow:
    """One command of the table."""

    name: str
    target: str
    """``module:function`` or, for a group of commands, ``module:app``."""
    help: str
    """The line that ``sgkit --help`` shows."""
    panel: str
    """Its heading there."""


_DATA, _TRAINING, _IMAGES, _MEASURING, _OTHER = "Data", "Training", "Images", "Measuring", "Files and machine"

COMMANDS: tuple[CommandRow, ...] = (
    CommandRow(
        "prepare",
        "sgkit.cli.prepare:prepare",
        "Turn folders and archives of images into a store for training; run it again to resume after an interruption.",
        _DATA,
    ),
    CommandRow("data", "sgkit.cli.data:app", "Inspect stores: check, export, merge and compare them.", _DATA),
    CommandRow(
        "train",
        "sgkit.cli.train:train",
        "Train a generator on a store of images; Ctrl-C or SIGTERM saves a snapshot first, and --resume continues.",
        _TRAINING,
    ),
    CommandRow(
        "encoder",
        "sgkit.cli.encoder:app",
        "Train an encoder, which finds the latents of images at once; projections can start from it.",
        _TRAINING,
    ),
    CommandRow(
        "generate",
        "sgkit.cli.generate:generate",
        "Generate images from seeds or latent files: a folder of them, or one grid.",
        _IMAGES,
    ),
    CommandRow(
        "mix",
        "sgkit.cli.mix:mix",
        "Mix styles: each row's image with the coarse, middle or fine styles of each column's.",
        _IMAGES,
    ),
    CommandRow(
        "interpolate",
        "sgkit.cli.interpolate:interpolate",
        "Interpolate between images: an animation, or a folder of frames.",
        _IMAGES,
    ),
    CommandRow(
        "project",
        "sgkit.cli.project:project",
        "Find the latents and noise maps of given images, so you can mix and edit them like generated ones.",
        _IMAGES,
    ),
    CommandRow(
        "tune",
        "sgkit.cli.tune:tune",
        "Tune a model to projected images, so it shows them exactly and their latents stay editable (pivotal tuning).",
        _IMAGES,
    ),
    CommandRow(
        "directions",
        "sgkit.cli.directions:app",
        "Find directions in latent space that change one property of the images; list and apply them.",
        _IMAGES,
    ),
    CommandRow(
        "edit",
        "sgkit.cli.edit:edit",
        "Edit images along directions or style channels: strips before and after, or animated sliders.",
        _IMAGES,
    ),
    CommandRow(
        "drag",
        "sgkit.cli.drag:drag",
        "Drag points of an image to other places: the rest of the image follows (DragGAN).",
        _IMAGES,
    ),
    CommandRow(
        "panorama",
        "sgkit.cli.panorama:panorama",
        "Blend many images into one panorama of any size, without visible seams: a line, or a grid.",
        _IMAGES,
    ),
    CommandRow(
        "expand",
        "sgkit.cli.expand:expand",
        "Make images larger: pad, tile or stretch their features, or repeat a part of them.",
        _IMAGES,
    ),
    CommandRow(
        "blend",
        "sgkit.cli.blend:blend",
        "Blend two or more images into one: side by side, by shapes, or by mask images.",
        _IMAGES,
    ),
    CommandRow(
        "shift",
        "sgkit.cli.shift:shift",
        "Make new images from one: copy, move, swap or mirror parts of its features.",
        _IMAGES,
    ),
    CommandRow(
        "transfer",
        "sgkit.cli.transfer:transfer",
        "Transfer attributes: eyes, mouth, hair or any region of reference images into a source image.",
        _IMAGES,
    ),
    CommandRow(
        "translate",
        "sgkit.cli.translate:translate",
        "Translate images between two models: one, and another that was fine-tuned from it.",
        _IMAGES,
    ),
    CommandRow(
        "replay",
        "sgkit.cli.replay:replay",
        "Make an image or animation again from the scene in its file, unchanged or with other settings.",
        _IMAGES,
    ),
    CommandRow(
        "metrics",
        "sgkit.cli.metrics:metrics",
        "Compare images with a dataset: FID, KID, Inception score, precision, recall, path lengths and others.",
        _MEASURING,
    ),
    CommandRow(
        "classifier",
        "sgkit.cli.classifier:app",
        "Train classifiers of images on the labels of a store, for the metric ls (linear separability).",
        _MEASURING,
    ),
    CommandRow(
        "weights",
        "sgkit.cli.weights:app",
        "Weights of third-party networks: list, fetch, add, path, verify.",
        _MEASURING,
    ),
    CommandRow("models", "sgkit.cli.models:models", "List the trained models that come with the package.", _OTHER),
    CommandRow(
        "demo",
        "sgkit.cli.demo:demo",
        "Run every step with the packaged model (about two minutes) and show the results on one page.",
        _OTHER,
    ),
    CommandRow(
        "info",
        "sgkit.cli.info:info",
        "Show what a file or folder is. For a model: configuration, layers, parameters, training, provenance, hash.",
        _OTHER,
    ),
    CommandRow(
        "convert",
        "sgkit.cli.convert:convert",
        "Convert a model to a different file format. Tensors stay bit-identical; any change is reported.",
        _OTHER,
    ),
    CommandRow(
        "schema",
        "sgkit.cli.schema:schema",
        "Print the JSON schema of a configuration file or of a command's --json result; list them without a name.",
        _OTHER,
    ),
    CommandRow(
        "doctor",
        "sgkit.cli.doctor:doctor",
        "Check this machine: versions, devices, and which optional features are available.",
        _OTHER,
    ),
)
"""Every command, in the order of the help page."""


class _InterruptedError(Exception):
    """Ctrl-C."""


class _CommandError(Exception):
    """What a command raised, of a kind for which Typer would leave the program without a word."""


class _SignalError(BaseException):
    """A signal asks the process to end. Not an ``Exception``, so that nothing but clean-up stands in its way."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command like Ctrl-C, so that temporary files are removed.

    A command may install its own handlers; what ignores a signal (nohup) continues to ignore it.
    """
    parent = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != parent:  # a process that was forked with this handler
            os.kill(os.getpid(), number)
        raise _SignalError(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = threading.current_thread() is threading.main_thread()
    numbers = [number for number in numbers if ours and signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


class _LazyGroup(TyperGroup):
    """Lists every row of the table, and imports a command's module only when that command is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for row in COMMANDS:
            self.add_command(TyperCommand(row.name, help=row.help, rich_help_panel=row.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and command else None, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None  # Typer would make it exit code 130, without a word
        except (EOFError, BrokenPipeError) as error:
            raise _CommandError from error


def load_command(name: str) -> Any:
    """The command called ``name`` (a row of :data:`COMMANDS`), with all its options; imports its module."""
    row = next(row for row in COMMANDS if row.name == name)
    module, _, attribute = row.target.partition(":")
    loaded = importlib.import_module(module)
    target = getattr(loaded, attribute)
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name = name
        return finished(refuse_infinite(group), name)
    single = typer.Typer(add_completion=False)
    single.command(name, cls=getattr(loaded, "COMMAND_CLASS", None))(target)
    return finished(refuse_infinite(typer.main.get_command(single)), name)


app = typer.Typer(
    cls=_LazyGroup, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


def _show_version(wanted: bool) -> None:
    if wanted:
        report.out(f"sgkit {sgkit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Can be anywhere on the line.")
    ] = False,
) -> None:
    """One toolkit for the whole StyleGAN family: prepare data, train, generate, mix, project, blend and measure."""


def root() -> Any:
    """The command ``sgkit``."""
    return finished(typer.main.get_command(app), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return its exit code.

    0: done. 1: failed. 2: called in a wrong way. 130: stopped by Ctrl-C. 143: stopped by SIGTERM. 141: standard output
    was closed. Errors become one message on standard error; ``--debug`` anywhere before a ``--`` shows the traceback.
    """
    args, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    began = time.monotonic()
    terminal.start()
    report.set_loudness("normal")
    try:
        from sgkit.runtime.allocator import keep_freed_memory

        keep_freed_memory()
        with _ending_by_signals(), report.warnings_told():
            code = root().main(args or ["--help"], prog_name="sgkit", standalone_mode=False)
            report.tell_use(began)
        terminal.finish()
    except terminal.OutputClosedError:
        return terminal.OUTPUT_CLOSED
    except _SignalError as error:
        report.error(f"Stopped by {signal.Signals(error.number).name}.")
        return 128 + error.number
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            report.traceback()
        message, hint, code = _explain(error, args)
        report.error(message, hint=hint)
    return code if isinstance(code, int) else 0


def _without_debug(args: list[str]) -> tuple[list[str], bool]:
    end = args.index("--") if "--" in args else len(args)
    kept = [word for word in args[:end] if word != "--debug"]
    return kept + args[end:], len(kept) < end


def _explain(error: BaseException, args: Sequence[str]) -> tuple[str, str | None, int]:
    """What to say about ``error``, what to try, and the exit code."""
    if isinstance(error, _CommandError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, (KeyboardInterrupt, _InterruptedError)):
        return "Stopped by Ctrl-C.", None, report.INTERRUPTED
    if isinstance(error, SgkitError):
        return str(error), None, error.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        return (
            _usage_message(error, args),
            f"Try '{context.command_path} --help'." if context else None,
            error.exit_code,
        )
    fault = explain(error)
    if fault is not None:
        return fault.text, fault.hint, 1
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("sgkit"):
        return f"Package {error.name!r} is not installed.", "Run 'sgkit doctor' to see what is missing.", 1
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}", "This is a bug in sgkit. Add --debug to see where it happened.", 1


def _usage_message(error: typer.TyperException, args: Sequence[str]) -> str:
    """Typer's message, or ours where other tools of the field have such an option or command."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option and context is not None and hasattr(error, "possibilities"):
        path = context.command_path.partition(" ")[2]
        return option_message(option, context.command, path, args)
    text = error.format_message().replace("Value error, ", "").replace("Input should be", "it must be")
    unknown = re.match(r"No such command '([^']+)'", text)
    here = command_hint(unknown[1], [row.name for row in COMMANDS]) if unknown else None
    return f"No such command '{unknown[1]}'. Use: sgkit {here}" if unknown and here else text
