from __future__ import annotations

import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgkit.text import MOST_CHARACTERS, printable, shell_word

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/bold] :heart:", "plain [bold]text[/bold] :heart:"),
        ("Tür, 日本　語, עברית, 🌷", "Tür, 日本　語, עברית, 🌷"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("a\nb\r\tc\x00\x7f", r"a\nb\r\tc\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202egpj.exe\u2066\u200f", r"\u202egpj.exe\u2066\u200f"),
        ("a\u200bb\u200d\ufeff\u2060\u00ad\ufe0f\u3164", r"a\u200bb\u200d\ufeff\u2060\xad\ufe0f\u3164"),
        ("a\udcff\udc80b\ud800", r"a\xff\x80b\ud800"),
        ("\U000e0041\U0010fffd", r"\U000e0041\U0010fffd"),
        ("\u2028\u2029", r"\u2028\u2029"),
        (7, "7"),
        ("", ""),
    ],
)
def test_every_character_can_be_seen(text: object, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_safe_line_and_stays_it(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(character) in UNSEEN for character in shown)
    assert printable(shown) == shown
    shown.encode()


def test_long_text_loses_its_middle() -> None:
    shown = printable("a" * 50_000 + "end")
    assert len(shown) <= MOST_CHARACTERS
    assert "...(50,003 characters)..." in shown
    assert shown.endswith("end")
    assert printable("x" * 99, limit=50).startswith("xxxxxx...(99 characters)...")


def test_line_breaks_stay_where_they_are_meant() -> None:
    assert printable("a\n\x1bb", lines=True) == "a\n\\x1bb"


@pytest.mark.parametrize(
    "word", ["plain", "a b", "it's", "$(x)", "-n", "a\nb", "\x1b[2J'\\", "T\u00fc\u00a0r", "\u202ex"]
)
def test_a_shell_reads_back_what_was_meant(word: str) -> None:
    typed = shell_word(word)
    assert printable(typed) == typed
    ran = subprocess.run(
        ["bash", "-c", f"printf %s {typed}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert ran.stdout.decode() == word
