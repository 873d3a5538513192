"""Every image command works on every architecture or refuses with a reason, and the page says so."""

from __future__ import annotations

import pytest

from tests.docs.operations import ARCHITECTURES, LINES, commands, outcome, shown, table


def test_every_command_that_makes_images_is_tried() -> None:
    assert set(LINES) == set(commands()), "give the command a line in tests/docs/operations.py, then run it"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_commands_work_or_say_why_not(architecture: str) -> None:
    rows = dict(zip(_cells("command"), zip(*[_cells(f"`{name}`") for name in commands()], strict=True), strict=True))
    for command, mark in zip(commands(), rows[architecture], strict=True):
        reason = outcome(command, architecture)
        assert mark == ("✓" if reason is None else f"({_reasons().index(reason) + 1})"), (command, reason)


def _cells(first: str) -> list[str]:
    """The cells of the page's row that begins with ``first``."""
    (row,) = [line for line in shown().splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def _reasons() -> list[str]:
    return [line.partition("refused: ")[2].strip() for line in shown().splitlines() if line.startswith("(")]


def test_the_page_has_no_other_rows() -> None:
    marks = {
        (command, architecture): None if mark == "✓" else _reasons()[int(mark.strip("()")) - 1]
        for command in commands()
        for architecture, mark in zip(ARCHITECTURES, _cells(f"`{command}`"), strict=True)
    }
    assert table(marks) == shown()
