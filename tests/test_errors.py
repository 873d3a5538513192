from __future__ import annotations

import inspect

import pytest

from sgkit import errors
from sgkit.errors import SgkitError, UsageError, did_you_mean

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]


def test_every_error_is_exported_and_is_an_sgkit_error() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(errors.__all__) - {"did_you_mean"}
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
    assert did_you_mean("stylegan2-g", ["progan", "stylegan2-f", "self-modulated"]) == "Did you mean 'stylegan2-f'?"


def test_all_words_are_listed_when_none_is_near() -> None:
    assert did_you_mean("zzz", ["beta", "alpha"]) == "Allowed: alpha, beta."
