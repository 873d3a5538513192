"""The rules of the house, read from the source by AST: who imports whom, how long things are, what is documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sgkit"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FLOORS = (
    "text",
    "errors",
    "faults",
    "ops",
    "reports",
    "runtime",
    "config",
    "weights",
    "unpickle",
    "model",
    "edits",
    "training",
    "metrics",
    "store",
    "checkpoint",
    "latents",
    "render",
    "inversion",
    "measure",
    "runs",
    "tasks",
    "cli",
)
"""From the ground up: a room imports only rooms named before it."""
LEVELS = {name: level for level, name in enumerate(FLOORS)}
APART = ("edits", "training", "metrics", "store", "checkpoint")
"""These do not import each other: what they need of images comes to them as batches."""
COMPOSED = {"demo"}  # the one task that is made of the others
LIGHT = {"text", "errors", "faults", "config"}
HEAVY = {"torch", "lmdb", "PIL", "numpy", "scipy", "safetensors", "tensorboard"}
MAX_FILE, MAX_FUNCTION = 400, 60


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def unit_of(path: Path) -> str:
    """The package or module right under sgkit that a file belongs to; '' for sgkit itself."""
    part = path.relative_to(PACKAGE).parts[0]
    return "" if part in ("__init__.py", "__main__.py") else part.removesuffix(".py")


def imports(path: Path, *, functions: bool = True, typing: bool = True) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, with their lines; on wish without those in functions, or for type checkers."""
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), functions, typing):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively; write the whole name"
            module = node.module or ""
            yield module, node.lineno
            if module == "sgkit":
                yield from ((f"sgkit.{alias.name}", node.lineno) for alias in node.names)


def _nodes(tree: ast.AST, functions: bool, typing: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not functions and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _nodes(node, functions, typing)


def forbidden(unit: str, other: str) -> str | None:
    """Why ``unit`` may not import ``other``, or ``None``."""
    if other == unit or other not in LEVELS:
        return None
    if LEVELS[other] > LEVELS[unit]:
        return f"{other} is a room above {unit}"
    if unit in APART and other in APART:
        return f"{unit} and {other} must not know each other"
    return None


@pytest.mark.parametrize(
    ("unit", "other", "allowed"),
    [
        ("model", "ops", True),
        ("model", "store", False),
        ("model", "training", False),
        ("edits", "training", False),
        ("ops", "store", False),
        ("tasks", "cli", False),
        ("cli", "tasks", True),
    ],
)
def test_the_rules_say_what_the_design_says(unit: str, other: str, allowed: bool) -> None:
    assert (forbidden(unit, other) is None) == allowed


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    unit = unit_of(path)
    if not unit:
        return
    assert unit in LEVELS, f"{name_of(path)}: give {unit!r} a level in tests/test_architecture.py"
    wrong = []
    for imported, line in imports(path):
        parts = imported.split(".")
        reason = forbidden(unit, parts[1]) if parts[0] == "sgkit" and len(parts) > 1 else None
        if reason:
            wrong.append(f"{name_of(path)}:{line} imports {imported}: {reason}")
    assert not wrong, "\n".join(wrong)


def tasks() -> set[str]:
    """Modules of sgkit.tasks that a command imports; the others are helpers of tasks."""
    dotted = (
        imported.split(".") for path in SOURCES if unit_of(path) == "cli" for imported, _ in imports(path, typing=False)
    )
    return {parts[2] for parts in dotted if parts[:2] == ["sgkit", "tasks"] and len(parts) > 2}


@pytest.mark.parametrize("path", [p for p in SOURCES if unit_of(p) == "tasks"], ids=name_of)
def test_tasks_know_no_terminal_and_no_other_task(path: Path) -> None:
    own = path.relative_to(PACKAGE / "tasks").parts[0].removesuffix(".py")
    for imported, line in imports(path):
        parts = imported.split(".")
        assert parts[0] not in ("typer", "rich", "click"), f"{name_of(path)}:{line} imports {imported}"
        if parts[:2] == ["sgkit", "tasks"] and own not in COMPOSED:
            other = parts[2]
            assert other == own or other not in tasks(), f"{name_of(path)}:{line} imports another task: {imported}"


@pytest.mark.parametrize("path", [p for p in SOURCES if unit_of(p) == "cli"], ids=name_of)
def test_commands_load_heavy_modules_only_when_called(path: Path) -> None:
    for imported, line in imports(path, functions=False, typing=False):
        parts = imported.split(".")
        assert parts[0] not in HEAVY, f"{name_of(path)}:{line} imports {imported} when sgkit starts"
        if parts[0] == "sgkit" and len(parts) > 1 and parts[1] in LEVELS and imported != "sgkit.runtime.progress":
            assert parts[1] in LIGHT | {"cli"}, f"{name_of(path)}:{line} imports {imported} when sgkit starts"


@pytest.mark.parametrize("path", [p for p in SOURCES if unit_of(p) in LIGHT], ids=name_of)
def test_configuration_loads_nothing_heavy(path: Path) -> None:
    assert not {imported.split(".")[0] for imported, _ in imports(path)} & HEAVY


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_one_module_writes_to_the_terminal(path: Path) -> None:
    if name_of(path) == "sgkit/cli/terminal.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "sys.exit", "sys.stdout.write", "sys.stderr.write", "typer.echo") or (
                called == "sys.exit" and path.name == "__main__.py"
            ), f"{name_of(path)}:{node.lineno} calls {called}"


PICKLE_READERS = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle"}
LOADERS = {"torch": {"load"}, "numpy": {"load"}, "pandas": {"read_pickle"}, "torch.serialization": {"load"}}
"""Functions that unpickle, or do so when they are asked to, by module."""


def readers_of_pickles(source: str) -> list[str]:
    """What of a source could unpickle: modules imported for it, and functions under whatever name."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}  # name in this file -> module
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                found += [alias.name] * (alias.name.split(".")[0] in PICKLE_READERS)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += [module] * (module.split(".")[0] in PICKLE_READERS)
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{module}.{alias.name}"
                found += [f"{module}.{alias.name}"] * (alias.name in LOADERS.get(module, ()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base, *rest = ast.unparse(node.value).split(".")
            module = ".".join([modules.get(base, ""), *rest])
            found += [f"{module}.{node.attr}"] * (node.attr in LOADERS.get(module, ()))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "__import__",
            "import_module",
        ):
            found += [ast.unparse(name) for name in node.args if getattr(name, "value", None) in PICKLE_READERS]
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append("allow_pickle")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "def f():\n    from _pickle import loads as decode",
        "import marshal, os",
        "import shelve",
        "import torch\ntorch.load('x', weights_only=True)",
        "import torch as t\nread = t.load",
        "from torch import load as read",
        "import torch.serialization\ntorch.serialization.load('x')",
        "import numpy as np\nnp.load('x')",
        "from numpy import load",
        "f(allow_pickle=True)",
        "__import__('pickle')",
        "importlib.import_module('dill')",
    ],
)
def test_a_reader_of_pickles_is_found_under_every_name(source: str) -> None:
    assert readers_of_pickles(source)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_safe_reader_reads_pickles(path: Path) -> None:
    """sgkit.unpickle reads their opcodes; nothing needs Python's own unpickler, which runs what it reads."""
    assert not readers_of_pickles(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    assert lines <= MAX_FILE, f"{name_of(path)} has {lines} lines; split it"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = code_length(node)
            assert length <= MAX_FUNCTION, f"{name_of(path)}:{node.name} has {length} lines, line {node.lineno}"


def code_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body behind the docstring: the interface is as long as there are options to declare."""
    code = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - code[0].lineno + 1 if code else 0


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    missing = [node for node in _public(tree) if not ast.get_docstring(node)]
    assert not missing, [f"{name_of(path)}:{node.lineno} {node.name} has no docstring" for node in missing]


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            overrides = isinstance(tree, ast.ClassDef) and node.name in ("forward", "extra_repr")
            is_overload = any("overload" in ast.unparse(mark) for mark in node.decorator_list)
            if not (overrides or is_overload):
                yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)
