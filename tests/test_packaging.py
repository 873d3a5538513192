"""What the project declares, what it pins, and what it runs agree."""

from __future__ import annotations

import re
import sys
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sgkit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pins(python: str) -> dict[str, str]:
    """Name -> the version that constraints.txt names for this Python."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"python_version": python})]
    names = [canonicalize_name(one.name) for one in wanted]
    assert len(set(names)) == len(names), "a package is pinned twice"
    return {name: str(one.specifier).removeprefix("==") for name, one in zip(names, wanted, strict=True)}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_within_its_range(python: str) -> None:
    pinned = pins(python)
    declared = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, declared):
        if requirement.name == PROJECT["name"]:
            continue  # the extra "all" names other extras
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} and its pin {version}"


def test_version_is_one() -> None:
    assert PROJECT["version"] == sgkit.__version__


def test_all_is_every_extra_for_users_and_make_installs_it_with_the_tools() -> None:
    extras = set(PROJECT["optional-dependencies"])
    (everything,) = map(Requirement, PROJECT["optional-dependencies"]["all"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == extras - {"all", "dev", "docs", "bench", "compare", "vit"}
    installed = re.search(r"-e '\.\[([^\]]+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installed is not None
    assert set(installed[1].split(",")) == {"all", "dev", "docs"}
