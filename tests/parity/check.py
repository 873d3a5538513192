"""Compare sgkit with golden cases: folders of a checkpoint, inputs.npz, outputs.npz and case.json.

    python tests/parity/check.py [-v] [--tolerance 2e-5] [--bf16-tolerance 0.05] DIR...

For every checkpoint of a case each array of outputs.npz is computed and its largest error is printed relative to the
array's largest magnitude; images and logits also in bf16, as the root mean square of the error relative to the array's;
then every network is walked cut and resumed at every layer, which must be equal bit for bit. A case of lucidrains must
be refused by name; every file of a malicious case must be refused, or read, without leaving a trace. Behind each case
stands the processor time it took. DIR is a case, or a folder of cases.

Exit status 0: all agrees. 1: something differs, is missing or could not be checked; each such thing has a line that
starts with PROBLEM. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
import soat
from recipes import Recipe, Wanted, parse

from sgkit.checkpoint import load
from sgkit.errors import CheckpointError, CheckpointWarning, SgkitError
from sgkit.model import Branch, Model, State, steps, walk
from sgkit.runtime.precision import autocast

warnings.simplefilter("ignore", CheckpointWarning)  # what files lack is known here
TOLERANCE = 2e-5
BF16_TOLERANCE = 0.05
CHECKPOINTS = (".pkl", ".pt", ".pth", ".model", ".safetensors")


@dataclass
class Report:
    """What was found in one folder."""

    name: str
    errors: dict[str, float] = field(default_factory=dict)
    """Array -> largest error relative to its largest magnitude."""
    bf16_errors: dict[str, float] = field(default_factory=dict)
    cuts: int = 0
    """Walks that were cut, resumed and came out bit-equal."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cpu: float = 0.0
    """Seconds of processor time."""


@torch.no_grad()
def check(folder: Path, *, tolerance: float = TOLERANCE, bf16_tolerance: float = BF16_TOLERANCE) -> Report:
    """The report on a case; a case that is damaged itself has a problem, too."""
    report, start = Report(folder.name), time.process_time()
    try:
        info = json.loads((folder / "case.json").read_text())
        report.name = str(info.get("name", folder.name))
        framework = str(info.get("framework", ""))
        files = sorted(file for file in folder.iterdir() if file.suffix in CHECKPOINTS)
        if framework == "malicious":
            _check_malicious(folder, info, report)
        elif framework == "SOAT":
            _check_operations(folder, report)
        elif framework.startswith("lucidrains"):
            _check_refused(files, report)
        else:
            _check_arrays(folder, info, files, report)
            _judge(report, tolerance, bf16_tolerance)
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        report.problems.append(f"the case cannot be read: {type(error).__name__}: {error}")
    report.cpu = time.process_time() - start
    return report


def _judge(report: Report, tolerance: float, bf16_tolerance: float) -> None:
    for errors, limit, what in ((report.errors, tolerance, ""), (report.bf16_errors, bf16_tolerance, " in bf16")):
        for name, error in errors.items():
            if not error <= limit:
                report.problems.append(f"{name}{what}: error {error:.1e} is over {limit:.0e}")


# ------------------------------------------------------------------------------------------------ arrays


def _check_arrays(folder: Path, info: dict[str, Any], files: list[Path], report: Report) -> None:
    inputs = {name: torch.from_numpy(array) for name, array in _arrays(folder / "inputs.npz").items()}
    outputs = _arrays(folder / "outputs.npz")
    texts = {name: entry.get("what", "") for name, entry in info.get("outputs", {}).items() if isinstance(entry, dict)}
    if not files:
        report.problems.append(f"no checkpoint found: none of its files ends in {', '.join(CHECKPOINTS)}")
    if not outputs:
        report.problems.append("outputs.npz holds no arrays")
    checked: set[str] = set()
    for file in files:
        for name, wanted, model in _assignments(file, outputs, texts, report):
            recipe = Recipe(model, inputs)
            try:
                report.errors[f"{file.name}: {name}"] = _error(recipe.compute(wanted), outputs[name])
            except Exception as error:  # whatever a strange case brings: its other arrays are still checked
                report.problems.append(f"{name}: {type(error).__name__}: {error}")
                continue
            checked.add(name)
            if wanted.role == "raw_generator" or wanted.what not in ("img", "logits", "scores"):
                continue
            if not set(wanted.modifiers) <= {"lod", "alpha"}:
                continue  # the same layers again, from other latents
            with autocast("bf16", torch.device("cpu")):
                report.bf16_errors[f"{file.name}: {name}"] = _mean_error(recipe.compute(wanted), outputs[name])
            _check_cuts(recipe, wanted, name, report)
    failed = {problem.partition(": ")[0] for problem in report.problems}
    unchecked = [name for name in outputs if name not in checked | failed] if checked else []
    why = "no rule for this name, or no checkpoint holds its network"
    report.problems += [f"{name}: not checked: {why}" for name in unchecked]
    report.problems += [f"{name}: case.json lists it, outputs.npz has none" for name in texts if name not in outputs]


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _assignments(
    file: Path, outputs: dict[str, np.ndarray[Any, Any]], texts: dict[str, str], report: Report
) -> Iterator[tuple[str, Wanted, Model]]:
    """Every array that a file's networks should give, with the model that gives it."""
    models: dict[int | None, Model] = {}
    for name in outputs:
        wanted = parse(name, texts.get(name, ""))
        if wanted is None:
            continue
        size = _size_of_step(name, wanted, outputs) if file.suffix == ".model" else None
        try:
            if size not in models:
                models[size] = load(file, image_size=size)
        except SgkitError as error:
            report.problems.append(str(error))
            return
        if wanted.role in models[size].networks():
            yield name, wanted, models[size]


def _size_of_step(name: str, wanted: Wanted, outputs: dict[str, np.ndarray[Any, Any]]) -> int:
    """rosinality's StyleGAN1 files hold all sizes: the case's pictures say which one is meant."""
    if "step" in wanted.modifiers:
        return 4 << int(wanted.modifiers["step"])
    pictures = [array for key, array in outputs.items() if key.endswith(".img")]
    return int(pictures[0].shape[-1]) if pictures else 1024


def _error(computed: Tensor, expected: np.ndarray[Any, Any]) -> float:
    """Largest difference relative to the largest magnitude; features are stored for the first sample only."""
    values = computed.detach().float().numpy()[: len(expected)]
    if values.shape != expected.shape:
        raise ValueError(f"its shape is {list(expected.shape)}; sgkit computes {list(values.shape)}")
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(values.astype(np.float64) - expected).max()) / scale


def _mean_error(computed: Tensor, expected: np.ndarray[Any, Any]) -> float:
    """Root mean square of the difference, relative to the array's: bf16 keeps 8 bits, so single pixels stray."""
    difference = computed.detach().float().numpy().astype(np.float64) - expected
    return float(np.sqrt(np.square(difference).mean() / max(np.square(expected.astype(np.float64)).mean(), 1e-30)))


def _check_cuts(recipe: Recipe, wanted: Wanted, name: str, report: Report) -> None:
    """Walk a network cut and resumed at every layer, with the first sample."""
    lod = wanted.modifiers.get("lod", 1 - wanted.modifiers["alpha"] if "alpha" in wanted.modifiers else 0.0)
    recipe.model.grow(lod)
    if wanted.role == "discriminator":
        assert recipe.model.discriminator is not None
        branch, start = Branch(recipe.model.discriminator), [State(rgb=recipe.inputs["images"][:1])]
    else:
        synthesis = recipe.generator(wanted).synthesis
        noise = recipe.noise(wanted, recipe.generator(wanted), first=True)
        branch, start = Branch(synthesis, synthesis.styles(recipe.ws(wanted)[:1]), noise), [State()]
    behind = [states for _, states in steps([branch], states=start)]
    for cut, states in enumerate([start, *behind]):
        resumed = walk([branch], states=states, start=cut)[0]
        if _equal(resumed, behind[-1][0]):
            report.cuts += 1
        else:
            report.problems.append(f"{name}: cut at layer {cut} and resumed, the walk differs")
    recipe.model.grow(0.0)


def _equal(one: State, other: State) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("x", "rgb", "shortcut"))
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def _check_operations(folder: Path, report: Report) -> None:
    """Draw the scenes that the commands make, and compare them with the images of the paper's code."""
    case = soat.Case(folder)
    for name in case.outputs:
        if name not in soat.OPERATIONS:
            report.problems.append(f"{name}: not checked: no scene for this name")
        else:
            report.errors[name] = soat.difference(case, name)
            if not report.errors[name] <= soat.TOLERANCE:
                report.problems.append(f"{name}: error {report.errors[name]:.1e} is over {soat.TOLERANCE:.0e}")


# ---------------------------------------------------------------------------------------------- refusals


def _check_refused(files: list[Path], report: Report) -> None:
    for file in files:
        try:
            load(file)
            report.problems.append(f"{file.name}: an architecture that sgkit does not have was not refused")
        except CheckpointError as error:
            report.notes.append(f"{file.name}: refused: {error}")
            if "lucidrains" not in str(error):
                report.problems.append(f"{file.name}: refused, but not by name")


def _check_malicious(folder: Path, info: dict[str, Any], report: Report) -> None:
    markers = info.get("markers", {})
    for name in info.get("files") or sorted(file.name for file in folder.iterdir() if file.suffix != ".json"):
        try:
            load(folder / name)
            report.notes.append(f"{name}: read")
        except CheckpointError as error:
            report.notes.append(f"{name}: refused: {error}")
        except Exception as error:
            report.problems.append(f"{name}: neither read nor refused: {type(error).__name__}: {error}")
        marker = Path(os.environ.get("TMPDIR", tempfile.gettempdir())) / f"sgkit_fixture_ran_{markers.get(name, name)}"
        if marker.exists():
            report.problems.append(f"{name}: it ran code: {marker} was made")


# -------------------------------------------------------------------------------------------------- main


def _show(report: Report, *, verbose: bool) -> None:
    worst = max(report.errors.items(), key=lambda item: item[1], default=None)
    line = f"{report.name}: "
    if worst is not None:
        line += f"{len(report.errors)} arrays, worst {worst[1]:.1e} ({worst[0]})"
        line += f"; bf16 worst {max(report.bf16_errors.values(), default=0):.1e}"
        line += f"; {report.cuts} cuts bit-equal"
    else:
        line += f"{len(report.notes)} files refused or read without harm"
    print(f"{line}; {report.cpu:.1f} s")
    for note in report.notes if verbose else ():
        print(f"    {note}")
    for name, error in report.errors.items() if verbose else ():
        print(f"    {error:.1e}  {name}")
    for problem in report.problems:
        print(f"  PROBLEM {problem}")


def main(argv: list[str] | None = None) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a case, or a folder of cases")
    limit = "largest error allowed, relative to the array's largest magnitude (%(default)s)"
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help=limit)
    bf16_limit = "largest error allowed in bf16, root mean square, relative to the array's (%(default)s)"
    parser.add_argument("--bf16-tolerance", type=float, default=BF16_TOLERANCE, help=bf16_limit)
    parser.add_argument("-v", "--verbose", action="store_true", help="print every array and every refusal")
    arguments = parser.parse_args(argv)
    reports, empty = [], 0
    for folder in arguments.folders:
        cases = [folder] if (folder / "case.json").is_file() else sorted(p.parent for p in folder.glob("*/case.json"))
        for case in cases:
            reports.append(check(case, tolerance=arguments.tolerance, bf16_tolerance=arguments.bf16_tolerance))
            _show(reports[-1], verbose=arguments.verbose)
        if not cases:
            empty += 1
            print(f"{folder}: PROBLEM no case.json, here or in the folders below")
    worst = max((error for report in reports for error in report.errors.values()), default=0.0)
    bad = sum(bool(report.problems) for report in reports)
    seconds = sum(report.cpu for report in reports)
    print(
        f"\n{len(reports)} cases, worst error {worst:.1e} of an array's largest magnitude, {bad + empty} with "
        f"problems, {seconds:.0f} s of processor time"
    )
    return 1 if bad or empty else 0


if __name__ == "__main__":
    sys.exit(main())
