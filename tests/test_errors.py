from __future__ import annotations

import inspect

import pytest

from sgkit import errors
from sgkit.errors import SgkitError, UsageError, did_you_mean

NAMED = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]
CLASSES = [cls for cls in NAMED if not issubclass(cls, Warning)]


def test_every_error_is_an_sgkit_error() -> None:
    assert all(issubclass(cls, SgkitError) for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
def test_exit_code_is_two_for_bad_usage_and_one_otherwise(cls: type[SgkitError]) -> None:
    assert cls.exit_code == (2 if issubclass(cls, UsageError) else 1)


def test_bad_usage() -> None:
    assert {cls.__name__ for cls in CLASSES if issubclass(cls, UsageError)} == {
        "UsageError",
        "ConfigError",
        "EditError",
    }


def test_the_nearest_word_is_named() -> None:
    assert did_you_mean("stylegan2-g", ["progan", "stylegan2-f", "self-modulated"]) == (
        "Did you mean 'stylegan2-f'? Allowed: progan, stylegan2-f, self-modulated."
    )


@pytest.mark.parametrize(
    ("given", "allowed", "text"),
    [
        ("zzz", ["beta", "alpha"], "Allowed: beta, alpha."),
        ("zzz", {"beta", "alpha"}, "Allowed: alpha, beta."),
        ("middle", ["center", "wide", "none"], "Allowed: center, wide, none."),  # 'wide' is no guess
        ("W+", ["z", "w", "w+"], "Did you mean 'w+'? Allowed: z, w, w+."),
        ("jsn", ["json"], "Did you mean 'json'?"),
        ("gamma", ["r1_gamma", "r2_gamma"], "Did you mean 'r1_gamma' or 'r2_gamma'? Allowed: r1_gamma, r2_gamma."),
        ("word5", [f"word{number}" for number in range(3, 30)], "Did you mean 'word5'?"),
        ("zzz", [f"word{number}" for number in range(13)], "Allowed: word0, word1, word2, word3,"),
        ("x", [], "None is allowed."),
    ],
)
def test_few_words_are_always_listed_and_only_close_ones_guessed(given: str, allowed: list[str], text: str) -> None:
    assert did_you_mean(given, allowed).startswith(text)


def test_texts_are_safe_to_print_wherever_they_end_up() -> None:
    text = str(SgkitError("no file a\x1b[2J\u202eb\nError: c"))
    assert text == r"no file a\x1b[2J\u202eb\nError: c"
