"""A wrong option is answered before torch is imported, as a wrong path is (``test_paths.py``)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WRONG = [
    # the line, with a file "here" that exists; a piece of the answer
    ("generate here --out x --seeds a-b", "Not a list of seeds"),
    ("generate here --out x --seeds 9-3", "is reversed"),
    ("generate here --out x --psi nan", "Not a truncation psi"),
    ("generate here --out x --grid two", "Not a grid"),
    ("generate here --out x --translate 1", "Not a translation"),
    ("generate here --out x.tiff", "written as .png"),
    ("generate here --out x --grid 2x1", "--grid has no effect here"),
    ("generate here --out x.png --format jpg", "--format has no effect here"),
    ("generate here --out x --batch 0", "'--batch'"),
    ("generate here --out x --noise loud", "'--noise'"),
    ("generate here --out here", "here"),
    ("generate here --trunc 1", "Use --psi"),
    ("generate here", "Missing option"),
    ("mix here --out x.png --rows 0 --cols 1 --layers course", "coarse, middle, fine"),
    ("mix here --out x --rows 0 --cols 1", "does not end in one of"),
    ("interpolate here --out x.gif --fps inf", "not finite"),
    ("panorama here --out x.bmp", "Unsupported extension .bmp"),
    ("panorama here --out x.png --overlap 2", "'--overlap'"),
    ("metrics here --data here --metrics fdi", "Unknown metric 'fdi'"),
    ("replay here --size 1x2x3", "Not a size"),
    ("generat here", "Did you mean 'generate'"),
]
MEASURE = """
import sys
from sgkit.cli.app import main
for line in sys.stdin.read().splitlines():
    code = main(line.split())
    print(f"CODE {code}", *(name for name in ("torch",) if name in sys.modules), file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What every line answers, in one process that would keep torch once it was imported."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "here").write_bytes(b"\x00\x01\x02 of no known kind \xff\xfe" * 4)
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input="\n".join(line for line, _ in WRONG),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        timeout=120,
    )
    assert [path.name for path in folder.iterdir()] == ["here"], "something was written"
    first, *parts = ran.stderr.split("CODE ")
    shown = [first, *(part.partition("\n")[2] for part in parts)]
    return [f"{text}CODE {part.partition(chr(10))[0]}" for text, part in zip(shown, parts, strict=False)]


@pytest.mark.parametrize("index", range(len(WRONG)), ids=[line for line, _ in WRONG])
def test_a_wrong_option_is_answered_before_torch_is_imported(index: int, answers: list[str]) -> None:
    text, _, code = answers[index].rpartition("CODE ")
    assert WRONG[index][1] in text
    assert code in ("1", "2"), f"{text} (exit code, and torch if it was imported: {code})"
