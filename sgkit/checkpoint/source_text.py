"""What the Python text inside NVIDIA's pickles would reach if somebody ran it. Here it is parsed, never run."""

from __future__ import annotations

import ast
import warnings

MAX_SOURCE = 1 << 18
"""Characters; the official networks' source is under 40,000."""
BUILTINS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open"}
MODULES = {
    *("asyncio", "builtins", "code", "codecs", "ctypes", "ftplib", "glob", "http", "importlib", "io", "marshal"),
    *("multiprocessing", "os", "pathlib", "pickle", "platform", "posix", "pty", "requests", "runpy", "shelve"),
    *("shutil", "signal", "smtplib", "socket", "subprocess", "sys", "tempfile", "threading", "urllib", "webbrowser"),
}
"""Ways out of arithmetic; the official networks import none of them."""


def reached_by(source: str) -> tuple[str, ...]:
    """Functions of the operating system, of files and of the interpreter that ``source`` calls: ``("os.system",)``.

    A hint for people, not a wall: what hides its names is not found. Text that is no Python reaches nothing.
    """
    if len(source) > MAX_SOURCE:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text's own escapes and comparisons
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    names = _imported(tree)
    calls = (_dotted(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return tuple(dict.fromkeys(call for call in calls if call.split(".")[0] in BUILTINS | MODULES))


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local name -> what an import binds it to."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """``os.system`` for a chain of attributes; calls in it, as in ``__import__('os').system``, are passed through."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            break
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])
