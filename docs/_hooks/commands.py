"""Writes the page ``commands.md`` when the documentation is built: every command and option, read from the program."""

from __future__ import annotations

from html import escape
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from sgkit.cli.app import COMMANDS, load_command
from sgkit.cli.examples import EXAMPLES

EVERYWHERE = {"--quiet", "--verbose"}
"""Options of every command."""

HEAD = """# Commands

Every command takes `--help`, `-q` (results, warnings and errors only) and `-v` (also what is loaded, chosen and used).
`--debug`, anywhere on the line, shows the traceback of an error.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM, 141 standard output was
closed by its reader. Results go to standard output, progress and messages to standard error. `--json` writes the result
as JSON, with exact file names: `os.fsencode(json.loads(text))` gives the bytes of a name, also where it is not valid
UTF-8.

Output that exists is never overwritten, unless `--force` is given. `project`, `prepare` and `train --resume` continue
an existing folder, and `generate` adds new files to one. An option that would change nothing is refused, with the
reason.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The site's files, with the page of commands among them."""
    files.append(File.generated(config, "commands.md", content=page()))
    return files


def page() -> str:
    """The whole page in Markdown."""
    parts = [HEAD]
    panel = ""
    for row in COMMANDS:
        if row.panel != panel:
            panel = row.panel
            parts.append(f"## {panel}\n")
        parts.extend(_sections(load_command(row.name), f"sgkit {row.name}", level=3))
    return "\n".join(parts)


def _sections(command: Any, path: str, *, level: int) -> list[str]:
    parts = [f"{'#' * level} {path}\n", f"{_text(command.help)}\n", *_examples(path)]
    children = getattr(command, "commands", None)
    if children:
        for name, child in children.items():
            parts.extend(_sections(child, f"{path} {name}", level=level + 1))
        return parts
    context = command.context_class(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    parts.append(f"```sh\n{path} {usage}\n```\n")
    rows = [_row(parameter, context) for parameter in command.params if not EVERYWHERE & set(parameter.opts)]
    parts.append("| | | default |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return parts


def _examples(path: str) -> list[str]:
    found = EXAMPLES.get(path.removeprefix("sgkit "), ())
    return ["```sh\n" + "\n".join(f"# {what}\n{line}" for what, line in found) + "\n```\n"] if found else []


def _row(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "argument":
        name = _code(parameter.metavar or parameter.name.upper())
    else:
        options = ", ".join(_code(word) for word in (*parameter.opts, *parameter.secondary_opts))
        value = parameter.metavar or ("" if _is_flag(parameter) else parameter.display_type(context).strip("<>"))
        name = f"{options} {_code(value) if value else ''}"
    help_text = _text(getattr(parameter, "help", "")).replace("\n", " ")
    return f"| {_cell(name)} | {_cell(help_text)} | {_cell(_default(parameter))} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default is False or default == () or callable(default):
        return ""
    if isinstance(default, tuple) and type(default).__str__ is tuple.__str__:
        return _code(",".join(f"{item:g}" for item in default))
    return _code(str(default))


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


def _text(text: str | None) -> str:
    return (text or "").replace("\b", "").strip()


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").strip()


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"  # not backticks: a table cannot hold a bar in them
