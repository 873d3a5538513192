from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import typer

import sgkit
from sgkit.cli import app as cli
from sgkit.cli.app import CommandRow, load_command, main
from sgkit.errors import ConfigError, StoreError

LIGHT_HELP = """
import sys
from sgkit.cli.app import main
assert main(["--help"]) == 0
print("LOADED", *(name for name in ("torch", "lmdb", "PIL", "numpy") if name in sys.modules))
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Put a function into the table as the command ``try``."""

    def put(function) -> None:
        monkeypatch.setattr(sys.modules[__name__], "_target", function, raising=False)
        monkeypatch.setitem(sys.modules, "sgkit_test_commands", sys.modules[__name__])
        monkeypatch.setattr(cli, "COMMANDS", (CommandRow("try", "sgkit_test_commands:_target", "Try it.", "Test"),))

    return put


def test_help_loads_nothing_heavy() -> None:
    ran = subprocess.run([sys.executable, "-c", LIGHT_HELP], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1].split() == ["LOADED"]


def test_module_runs_as_a_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "sgkit", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"sgkit {sgkit.__version__}\n"


def test_every_command_is_listed_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for row in cli.COMMANDS:
        assert row.name in shown
        assert row.panel in shown


@pytest.mark.parametrize("row", cli.COMMANDS, ids=lambda row: row.name)
def test_every_row_leads_to_a_command_whose_help_begins_with_its_line(row: CommandRow) -> None:
    assert (load_command(row.name).help or "").partition("\n")[0].strip() == row.help


def test_names_of_commands_are_unique() -> None:
    assert len({row.name for row in cli.COMMANDS}) == len(cli.COMMANDS)


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docter"]) == 2
    shown = capsys.readouterr().err
    assert "No such command 'docter'. Did you mean 'doctor'?" in shown
    assert "Try 'sgkit --help'." in shown


def test_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--jsn"]) == 2
    shown = capsys.readouterr().err
    assert "No such option: --jsn. Did you mean '--json'?" in shown
    assert "Try 'sgkit doctor --help'." in shown


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("batch is 0; it must be 1 or more."), 2, "Error: batch is 0; it must be 1 or more."),
        (StoreError("No header in x."), 1, "Error: No header in x."),
        (FileNotFoundError(2, "No such file or directory", "x.png"), 1, "Error: No such file or folder: x.png"),
        (OSError("disk gone"), 1, "Error: disk gone"),
        (MemoryError(), 1, "Error: Out of memory."),
        (RuntimeError("CUDA out of memory. Tried"), 1, "Use a smaller --batch"),
        (ModuleNotFoundError("No module named 'lmdb'", name="lmdb"), 1, "Package 'lmdb' is not installed."),
        (ValueError("odd"), 1, "Error: ValueError: odd\nThis is a bug in sgkit."),
        (typer.BadParameter("too odd"), 2, "Error: Invalid value: too odd"),
        (KeyboardInterrupt(), 130, "Error: Stopped by Ctrl-C."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_errors_become_messages_and_codes(
    command, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    def fail() -> None:
        """Try it."""
        raise error

    command(fail)
    assert main(["try"]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_choice_that_is_none_is_refused_in_plain_words(command, capsys: pytest.CaptureFixture[str]) -> None:
    def choose(colour: Literal["red", "blue"] = "red") -> None:
        """Try it."""

    command(choose)
    assert main(["try", "--colour", "green"]) == 2
    assert "Error: Invalid value for '--colour': 'green' is not one of 'red', 'blue'." in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--debug", "try"], ["try", "--debug"]])
def test_debug_shows_the_traceback(command, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    def fail() -> None:
        """Try it."""
        raise StoreError("No header in [x].")

    command(fail)
    assert main(argv) == 1
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "Error: No header in [x]." in shown


def test_debug_after_two_dashes_is_an_argument(command, capsys: pytest.CaptureFixture[str]) -> None:
    def echo(word: str) -> None:
        """Try it."""
        raise StoreError(word)

    command(echo)
    assert main(["try", "--", "--debug"]) == 1
    assert capsys.readouterr().err == "Error: --debug\n"


def test_exit_codes_of_commands_are_kept(command) -> None:
    def leave() -> None:
        """Try it."""
        raise typer.Exit(3)

    command(leave)
    assert main(["try"]) == 3


def test_groups_are_loaded_from_the_table_too(command, capsys: pytest.CaptureFixture[str]) -> None:
    group = typer.Typer(help="Try it.")

    @group.command()
    def only() -> None:
        """Stand alone."""
        raise StoreError("here")

    command(group)
    assert main(["try"]) == 2
    assert "Missing command" in capsys.readouterr().err
    assert main(["try", "only"]) == 1
    assert "Error: here" in capsys.readouterr().err


def test_ranks_beside_the_first_say_who_failed() -> None:
    environment = {**os.environ, "RANK": "3"}
    ran = subprocess.run(
        [sys.executable, "-m", "sgkit", "docter"], capture_output=True, text=True, env=environment, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("Error (process 3): No such command")


SLOW = """
import sys, time, types
from sgkit.cli import app
from sgkit.runtime.files import atomic_path

def slow():
    "Try it."
    with atomic_path(sys.argv[1]) as path:
        path.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

sys.modules["slow"] = types.SimpleNamespace(slow=slow)
app.COMMANDS = (app.CommandRow("try", "slow:slow", "Try it.", "Test"),)
sys.exit(app.main(["try"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGTERM, 143, "Error: Stopped by SIGTERM."),
        (signal.SIGHUP, 129, "Error: Stopped by SIGHUP."),
        (signal.SIGINT, 130, "Error: Stopped by Ctrl-C."),
    ],
)
def test_a_signal_ends_a_command_without_leaving_temporary_files(
    tmp_path: Path, number: signal.Signals, code: int, text: str
) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path / "a.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        _, shown = process.communicate(timeout=30)
    assert (process.returncode, shown) == (code, text + "\n")
    assert list(tmp_path.iterdir()) == []
