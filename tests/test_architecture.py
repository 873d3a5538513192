"""The rules of the house. Who may import whom is in pyproject.toml (import-linter), documentation is ruff's."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in (ROOT / "sgkit").rglob("*.py")}
MAX_FILE, MAX_FUNCTION = 400, 60


def test_imports_keep_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


LOAD_COMMANDS = """
import importlib, pkgutil, sys
import sgkit.cli
for module in pkgutil.iter_modules(sgkit.cli.__path__):
    importlib.import_module(f"sgkit.cli.{module.name}")
print(sorted({"torch", "lmdb", "PIL", "numpy", "scipy", "safetensors", "tensorboard"} & set(sys.modules)))
"""


def test_commands_load_heavy_modules_only_when_called() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD_COMMANDS], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


LOAD_DRAWING = """
import sys
import sgkit, sgkit.cli.generate, sgkit.render.generate
sgkit.load
heavy = {"torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "scipy", "lmdb", "av", "tensorboard", "jinja2"}
print("torch" in sys.modules, sorted(heavy & set(sys.modules)))
"""


def test_drawing_loads_only_what_it_needs() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD_DRAWING], capture_output=True, text=True, check=True)
    assert loaded.stdout == "True []\n"


def test_files_and_functions_stay_short() -> None:
    long = [f"{name}: {lines} lines" for name in SOURCES if (lines := (ROOT / name).read_text().count("\n")) > MAX_FILE]
    for name, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _code_length(node) > MAX_FUNCTION:
                long.append(f"{name}: {node.name} has {_code_length(node)} lines")
    assert not long, "split these"


def _code_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body after the docstring: the interface is as long as there are options to declare."""
    code = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - code[0].lineno + 1 if code else 0


def test_only_one_module_writes_to_the_terminal() -> None:
    writers = {"print", "sys.exit", "sys.stdout.write", "sys.stderr.write", "typer.echo"}
    allowed = {("sgkit/__main__.py", "sys.exit")} | {("sgkit/cli/terminal.py", writer) for writer in writers}
    calls = {
        (name, ast.unparse(node.func))
        for name, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert not [call for call in calls - allowed if call[1] in writers]


LOADERS = {"torch": {"load"}, "numpy": {"load"}, "pandas": {"read_pickle"}, "torch.serialization": {"load"}}
"""Functions that unpickle, or do so when they are asked to, by module."""
UNPICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle"}
"""Modules that unpickle; importing them by a statement is forbidden by import-linter."""


def unpicklers(tree: ast.AST) -> Iterator[str]:
    """What of a file could unpickle, under whatever name."""
    modules: dict[str, str] = {}  # name in this file -> module
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                modules[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if alias.name in LOADERS.get(node.module or "", ()):
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base, *rest = ast.unparse(node.value).split(".")
            module = ".".join([modules.get(base, ""), *rest])
            if node.attr in LOADERS.get(module, ()):
                yield f"{module}.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("__import__", "import_module")):
            yield from (ast.unparse(name) for name in node.args if getattr(name, "value", None) in UNPICKLERS)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allow_pickle"


def test_nothing_unpickles() -> None:
    assert {name: found for name, tree in SOURCES.items() if (found := list(unpicklers(tree)))} == {}


@pytest.mark.parametrize(
    "source",
    [
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
def test_an_unpickler_is_found_under_every_name(source: str) -> None:
    assert list(unpicklers(ast.parse(source)))
