from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgkit.cli import report
from sgkit.runtime.progress import Progress

NASTY = [
    "a\x1b[31m\x07b",
    "c1\x9b2J",
    "\u202egpj.exe",
    "zero\u200bwidth\ufeff",
    "byte\udcff",
    ":heart: [bold]x[/bold] [/] \\[y]",
    "line\nError: fake\r",
    "tag\U000e0041",
]
SHOW = "import sys; from sgkit.cli import report, terminal; terminal.start(); "


def is_safe(text: str) -> bool:
    return not any(character in text for name in NASTY for character in name if not character.isprintable())


@pytest.mark.parametrize("name", NASTY)
def test_whatever_is_shown_is_safe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report.out(name)
    report.facts({name: name}, title=name)
    report.table([name], [[name]], title=name)
    report.error(name, hint=name)
    report.warning(name)
    report.note(name)
    with report.progress_bar(name) as on_progress:
        on_progress(Progress(done=1, total=2, stage=name, unit=name, fields={name: name}))
    shown = capsys.readouterr()
    for line in shown.out.splitlines() + shown.err.splitlines():
        assert is_safe(line), ascii(line)
    assert "❤" not in shown.out + shown.err
    assert not any(line.startswith("Error: fake") for line in shown.err.splitlines())
    if "heart" in name:
        assert shown.out.count(name) == 7
        assert shown.err.count(name) == 9


@pytest.mark.parametrize("name", NASTY)
def test_json_is_safe_to_print_and_names_what_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report.emit({"path": Path(name), name: [name]}, json=True, show=lambda _: None)
    shown = capsys.readouterr().out
    shown.encode()
    assert is_safe(shown.replace("\n", ""))
    found = json.loads(shown)
    assert found == {"path": name, name: [name]}
    assert os.fsencode(found["path"]) == os.fsencode(name)


def ran(code: str, *, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$CODE" {shell}'],
        capture_output=True,
        env={**os.environ, "CODE": code, **environment},
        check=False,
        timeout=60,
    )


def test_streams_that_lack_a_character_get_an_escape() -> None:
    shown = ran(
        SHOW + "report.out('T\\u00fcr'); report.emit('T\\u00fcr', json=True, show=print)", PYTHONIOENCODING="ascii"
    )
    assert shown.stdout == b'T\\xfcr\n"T\\u00fcr"\n'


MAIN = "import sys; from sgkit.__main__ import main; sys.exit(main())"


def test_a_reader_that_went_away_ends_the_command_without_a_word() -> None:
    shown = ran(MAIN, shell="weights list --json | true; exit ${PIPESTATUS[0]}")
    assert shown.returncode in (0, 141)  # 0: all was written before the reader went
    assert shown.stderr == b""


def test_a_full_disk_behind_standard_output_is_named() -> None:
    shown = ran(MAIN, shell="weights list > /dev/full")
    assert shown.returncode == 1
    assert shown.stderr == b"Error: Cannot write to standard output: The disk is full.\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_are_no_error(closed: str) -> None:
    shown = ran(MAIN, shell=f"weights list {closed}")
    assert shown.returncode == 0
    assert b"Traceback" not in shown.stderr


FULL_MEMORY = """
import sys, sgkit.__main__ as start
class Full:
    def find_spec(self, name, *others):
        if name.startswith("rich"):
            raise MemoryError
sys.meta_path.insert(0, Full())
sys.exit(start.main())
"""


def test_memory_that_runs_out_at_the_start_is_worded() -> None:
    shown = ran(FULL_MEMORY)
    assert (shown.returncode, b"Traceback" in shown.stderr) == (1, False)
    assert shown.stderr.startswith(b"Error: Out of memory")
