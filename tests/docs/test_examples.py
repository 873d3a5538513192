"""Every example of the documentation is run: Python blocks on a tiny model, ``sgkit`` lines up to where work begins."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sgkit
from sgkit.cli.app import COMMANDS, load_command
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.latents import move_text
from sgkit.model import build
from sgkit.runtime import path_checks
from sgkit.runtime.detect import FileType

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?P<mark><!--[^\n]*-->\n+)?(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S
)
NOT_RUN = "<!-- not run:"  # a comment above a Python block, with the reason
TINY = ModelConfig(
    image_size=(16, 16),
    z_dim=8,
    w_dim=8,
    mapping=MappingConfig(num_layers=2),
    synthesis=SynthesisConfig(channel_base=64, channel_max=8),
    discriminator=DiscriminatorConfig(channel_base=64, channel_max=8),
)


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The page's code blocks in these languages, without the marked ones."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["language"] in languages and not (match["mark"] or "").startswith(NOT_RUN):
            yield re.sub(f"^{match['indent']}", "", match["code"], flags=re.M)


def command_lines(page: Path) -> list[str]:
    """The page's ``sgkit`` lines, continued ones joined, comments and prompts left out."""
    text = "\n".join(blocks(page, "sh", "console")).replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    return [line.partition("  #")[0].partition(" > ")[0] for line in lines if line.startswith(("sgkit ", "torchrun "))]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples name: two models and a few pictures."""
    for seed, name in enumerate(("model", "other")):
        sgkit.save(build(TINY, seed=seed), tmp_path / f"{name}.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for index, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=page_name)
@pytest.mark.usefixtures("workplace")
def test_python_examples_run_and_print_what_the_page_shows(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(blocks(page, "python"))
    exec(compile(code, page_name(page), "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out
    for shown in blocks(page, "text"):
        assert shown in printed


@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page)], ids=page_name)
def test_command_examples_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The examples' files are not here.
    monkeypatch.setattr(path_checks, "check_exists", lambda path, *_, **__: FileType(Path(path), "unknown"))
    monkeypatch.setattr(move_text, "parse_move", lambda text: text)
    for line in command_lines(page):
        words = shlex.split(line)
        words = words[words.index("sgkit") + 1 :]
        if words and not words[0].startswith("-"):
            assert words[0] in {row.name for row in COMMANDS}, f"no such command: {line}"
            understand(load_command(words[0]), words[0], words[1:])


def understand(command, name: str, words: list[str]) -> None:
    """Parse ``words`` as the command would, without running it; raises what it would raise."""
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no such command: sgkit {name} {words[0]}"
        return understand(command.commands[words[0]], f"{name} {words[0]}", words[1:])
    if "--help" not in words:
        command.make_context(name, words)
    return None


def test_documented_commands_would_be_refused_when_wrong() -> None:
    with pytest.raises(Exception, match="No such option"):
        understand(load_command("doctor"), "doctor", ["--nosuch"])
    with pytest.raises(AssertionError, match="no such command"):
        understand(load_command("weights"), "weights", ["nosuch"])


def test_blocks_are_found_and_marked_ones_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shown, marked, nested = (
        "```python\na = 1\n```",
        "<!-- not run: long -->\n```python\nb = 2\n```",
        "    ```python\n    c = 3\n    ```",
    )
    page.write_text(f"{shown}\n\n{marked}\n\n- x\n\n{nested}\n", encoding="utf-8")
    assert list(blocks(page, "python")) == ["a = 1\n", "c = 3\n"]


def test_pages_name_no_option_in_prose_that_no_command_has() -> None:
    known = {"--help", "--version", "--debug", *_options()}
    foreign = {"--nproc-per-node", "--max-restarts", "--logdir"}  # of torchrun and tensorboard
    foreign |= {"--cfg", "--aug"}  # of the official code, in the table of recipes
    for page in PAGES:
        own = re.sub(r"```text\n.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)  # other programs
        own = re.sub(r"^python -m tests\..*", "", own, flags=re.MULTILINE)
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own))
        assert named <= known | foreign, f"{page_name(page)} names {sorted(named - known - foreign)}"


def _options() -> set[str]:
    def walk(command) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for child in getattr(command, "commands", {}).values():
            yield from walk(child)

    return {word for row in COMMANDS for word in walk(load_command(row.name))}
