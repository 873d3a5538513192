"""What ``--help`` of every command shows: readable types, ``-q`` and ``-v``, examples that are understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sgkit.cli import report
from sgkit.cli.app import COMMANDS, load_command, main
from sgkit.cli.examples import EXAMPLES
from sgkit.latents import move_text
from sgkit.runtime import path_checks
from sgkit.runtime.detect import FileType

WIDTH = 78
"""Of a terminal of 80 columns, inside the padding of the help."""


def paths() -> Iterator[str]:
    """Every command as it is called, without ``sgkit``; groups too."""
    yield ""
    for row in COMMANDS:
        yield row.name
        yield from (f"{row.name} {name}" for name in getattr(load_command(row.name), "commands", {}))


@pytest.mark.parametrize("path", [*paths()])
def test_help_is_readable(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert not re.search(r"<\w+>|<\w+\|", shown), "a type of Python"
    assert not re.search(r"\b(INTEGER|FLOAT|TEXT|BOOLEAN|PATH|RANGE|DIRECTORY)\b", shown), "a type of Click"
    assert "x<=" not in shown
    assert "x>=" not in shown
    usage = next(line for line in shown.splitlines() if "Usage: " in line)
    assert "{" not in usage, usage
    assert "......" not in usage, usage


@pytest.mark.parametrize("path", [*paths()])
def test_help_ends_with_examples_and_offers_quiet_and_verbose(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--quiet" in shown
    assert "--verbose" in shown
    assert path in EXAMPLES, f"give 'sgkit {path}' an example in sgkit/cli/examples.py"
    after = shown.partition("Examples:")[2]
    for what, line in EXAMPLES[path]:
        assert f"# {what}" in after
        assert all(part.strip() in after for part in line.splitlines())


@pytest.mark.parametrize(
    ("path", "line"), [(path, line) for path, rows in EXAMPLES.items() for _, line in rows], ids=lambda value: value
)
def test_an_example_is_understood(path: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def exists(path: str | Path, *_: Any, **__: Any) -> FileType:
        return FileType(Path(path), "directions" if str(path).endswith("sefa.safetensors") else "unknown")

    monkeypatch.setattr(path_checks, "check_exists", exists)
    monkeypatch.setattr(move_text, "parse_move", lambda text: text)
    assert all(len(part) <= WIDTH for part in line.splitlines())
    program, *words = shlex.split(line.replace("\\\n", " "))
    assert program == "sgkit"
    if "--help" in words:
        return
    command, *words = words
    found: Any = load_command(command)
    if hasattr(found, "commands"):
        found, words = found.commands[words[0]], words[1:]
    found.make_context(command, words)


def test_examples_are_of_commands() -> None:
    assert set(EXAMPLES) <= set(paths())


def test_every_option_says_what_it_does() -> None:
    for path in filter(None, paths()):
        command: Any = load_command(path.split()[0])
        command = command.commands[path.split()[1]] if " " in path else command
        for parameter in command.params:
            assert getattr(parameter, "help", ""), f"sgkit {path}: {parameter.name}"


@pytest.mark.parametrize(
    ("words", "told", "detailed"),
    [([], True, False), (["-q"], False, False), (["--quiet"], False, False), (["-v"], True, True)],
)
def test_quiet_tells_less_and_verbose_more(
    words: list[str], told: bool, detailed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *words]) == 0
    shown = capsys.readouterr()
    assert "landscapes" in shown.out
    assert ("Use a name as MODEL" in shown.err) is told
    assert ("MiB of memory" in shown.err) is detailed
    assert main([*words, "models"]) == 0
    assert capsys.readouterr().err.startswith(shown.err[:20])


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    from sgkit.runtime.progress import Progress

    for level, seen in (("normal", True), ("quiet", False)):
        report.set_loudness("normal")
        if level == "quiet":
            report.set_loudness("quiet")
        with report.progress_bar("Reading") as on_progress:
            on_progress(Progress(done=1, total=2))
        assert bool(capsys.readouterr().err) is seen
    report.set_loudness("normal")


def test_quiet_and_verbose_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "-q", "-v"]) == 2
    assert "contradict each other" in capsys.readouterr().err
    assert main(["models"]) == 0, "the next call starts anew"
