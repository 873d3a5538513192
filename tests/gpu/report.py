"""One report on one GPU: is sgkit right there, how fast is it, and where does the time go.

    python -m tests.gpu.report --out FILE.json [--peer ada=DIR] [--minutes 5] [--device cuda] [--quick]

Sections run in order of importance until the time is up; each is isolated from the others, and what it found is
written at once. ``--peer`` names a checkout of stylegan2-ada-pytorch, whose plugins are compiled meanwhile. ``--quick``
uses tiny networks: with ``--device cpu`` it tries every line of this report without a GPU.
"""

from __future__ import annotations

import argparse
import copy
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.config import ModelConfig, TrainConfig, override
from sgkit.config.presets import preset
from sgkit.model import Execution, Model, build
from sgkit.ops import fir_kernel
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.loop import TrainReport, train
from tests.gpu import peer
from tests.gpu.cases import (
    CPU,
    LIMITS,
    MODES,
    allow_tf32,
    computing,
    difference,
    fixtures,
    noise_batches,
    parity_errors,
    start,
    updates,
)

ROOT = Path(__file__).parents[2]
Result = dict[str, Any]
PARITY_SECONDS = 40.0
"""Time for golden cases: the speeds must not wait for the last of them."""


@dataclass
class Report:
    """What was found so far, and how much time is left."""

    out: Path
    device: torch.device
    quick: bool
    ada: Path | None
    end: float
    began: float = field(default_factory=time.perf_counter)
    found: dict[str, Result] = field(default_factory=dict)
    jobs: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    models: dict[Any, Model] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.perf_counter()

    @contextmanager
    def section(self, name: str) -> Iterator[Result]:
        """A block that fills the section ``name``; an error in it is noted, and the report goes on."""
        result = self.found.setdefault(name, {})
        began = time.perf_counter()
        try:
            yield result
        except (Exception, SystemExit):
            result["error"] = traceback.format_exc()[-3000:]
            print(f"{name}: {result['error'][-700:]}", flush=True)
        result["seconds"] = round(time.perf_counter() - began, 1)
        print(f"== {name}: {result['seconds']} s, {self.left:.0f} s left", flush=True)
        self.save()
        if self.is_cuda:
            torch.cuda.empty_cache()

    def save(self) -> None:
        """Write everything."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.found, indent=1, default=str))

    @property
    def is_cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Until the device is idle."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def peak(self) -> float | None:
        """Largest memory in GiB since the last call."""
        if not self.is_cuda:
            return None
        gib = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
        return round(gib, 2)

    def config(self, size: int, base: int, batch: int) -> tuple[ModelConfig, TrainConfig]:
        """ADA's networks for ``paper256`` (config F) at a size, and their recipe without augmentation."""
        if self.quick:
            size, base, batch = min(size, 32), 256, min(batch, 4)
        row = preset("ada-paper256", image_size=(size, size), batch=batch)
        changes: dict[str, Any] = {"synthesis.channel_base": base, "discriminator.channel_base": base}
        if self.quick:
            changes |= {"synthesis.channel_max": 16, "discriminator.channel_max": 16, "z_dim": 16, "w_dim": 16}
            changes |= {"discriminator.mbstd_group_size": 4}
        config = replace(row.train, augment=replace(row.train.augment, kind="none"), total_kimg=1000.0)
        return override(row.model, changes), config

    def model(self, size: int, base: int) -> Model:
        """A model of this kind, untrained."""
        if (size, base) not in self.models:
            self.models[size, base] = build(self.config(size, base, 4)[0], seed=1)
        return self.models[size, base]


# ------------------------------------------------------------------------------------------------ rightness


def start_jobs(report: Report) -> None:
    """Compile the peer's plugins and run the tests, beside the sections that time nothing."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if report.ada is not None and report.is_cuda:
        major, minor = torch.cuda.get_device_capability()
        peer.adapt(report.ada, report.device)
        environment |= {"TORCH_CUDA_ARCH_LIST": f"{major}.{minor}", "MAX_JOBS": "4"}
        for name in peer.PLUGINS:
            words = [sys.executable, "-m", "tests.gpu.peer", str(report.ada), name]
            report.jobs[name] = _job(words, environment, report.out.with_suffix(f".{name}.log"))
    words = [
        sys.executable,
        "-m",
        "pytest",
        "tests/gpu",
        "tests/ops/test_fir_kernel.py",
        "tests/ops/test_act_kernel.py",
        "-n0",
        "-q",
    ]
    words += ["-o", "filterwarnings=", "-p", "no:cacheprovider", "--deselect", "tests/gpu/test_parity.py"]
    words += ["--maxfail=30", "--tb=short"]
    environment |= {"SGKIT_GPU_TESTS": report.device.type}
    report.jobs["tests"] = _job(words, environment, report.out.with_suffix(".tests.log"))


def _job(words: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return subprocess.Popen(words, env=environment, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, text=True)


def machine(report: Report, result: Result) -> None:
    """Versions, and what ``sgkit doctor`` says."""
    result |= {"torch": torch.__version__, "python": platform.python_version(), "cpus": os.cpu_count()}
    if report.is_cuda:
        found = torch.cuda.get_device_properties(0)
        result |= {"gpu": found.name, "gib": round(found.total_memory / 2**30), "cudnn": torch.backends.cudnn.version()}
        result["capability"] = torch.cuda.get_device_capability()
        result["triton"] = fir_kernel.why_not(torch.device("cuda", 0)) or "works"
        result["tf32 by default"] = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    command = [sys.executable, "-m", "sgkit", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT, check=False)
    result |= {"doctor": done.stdout + done.stderr, "doctor's exit code": done.returncode}
    print(result["doctor"][:1500])


def parity(report: Report, result: Result) -> None:
    """Outputs of official networks, in each precision."""
    worst = dict.fromkeys(MODES, 0.0)
    cases, end = fixtures()[: 2 if report.quick else None], time.perf_counter() + PARITY_SECONDS
    cases = [case for first in range(5) for case in cases[first::5]]  # projects in turn
    for number, case in enumerate(cases):
        if time.perf_counter() > end and not report.quick:
            result["left out"] = [case.name for case in cases[number:]]
            break
        modes = MODES[:3:2] if not report.is_cuda else MODES
        try:
            found = parity_errors(case, report.device, modes)
        except Exception:
            result.setdefault("errors", {})[case.name] = traceback.format_exc()[-1500:]
            continue
        result[case.name] = {mode: max(errors.values(), default=None) for mode, errors in found.items()}
        for mode, error in result[case.name].items():
            worst[mode] = max(worst[mode], error or 0.0)
    result |= {"worst": worst, "limits": LIMITS, "kind": "fp32: largest error / largest magnitude; else rms / rms"}
    print("parity, worst:", {mode: f"{error:.1e}" for mode, error in worst.items()}, result.get("errors", ""))


def training_step(report: Report, result: Result) -> None:
    """Losses and gradients of every update, against the CPU's with the same random numbers."""
    config = TrainConfig(batch=8, r1_gamma=1.0, precision="fp32")
    row = preset("stylegan2-64", label_dim=3, batch=8)
    model = override(row.model, {"synthesis.channel_max": 64, "discriminator.channel_max": 64})
    if report.quick:
        model = replace(model, image_size=(16, 16))
    there = updates(model, config, CPU)
    for mode in ("fp32", "tf32"):
        allow_tf32(mode == "tf32")
        here = updates(model, config, report.device)
        result[mode] = {
            name: {
                "gradient": difference(here[name][1], gradient),
                **{key: abs(here[name][0][key] - value) / max(abs(value), 1e-9) for key, value in values.items()},
            }
            for name, (values, gradient) in there.items()
        }
        print(mode, {name: {k: f"{v:.0e}" for k, v in found.items()} for name, found in result[mode].items()})
    allow_tf32(False)


def jobs(report: Report, result: Result) -> None:
    """Wait for the plugins, and for the tests while there is time."""
    for name, job in report.jobs.items():
        patience = max(1.0, min(report.left - 150, 110)) if not report.quick else 300
        try:
            result[name] = job.wait(patience)
        except subprocess.TimeoutExpired:
            job.kill()
            result[name] = "stopped: no time"
        log = report.out.with_suffix(f".{name}.log").read_text(errors="replace")
        result[f"{name}, said"] = log[-6000:]
        print(f"{name}: {result[name]}; {log[-1200:].strip()}", flush=True)
    if report.ada is not None:
        peer.adapt(report.ada, report.device)
        compiled = {name for name in peer.PLUGINS if result.get(name) == 0}
        result["plugins run"] = peer.loaded_plugins(compiled)
        print("plugins:", result["plugins run"])


# ---------------------------------------------------------------------------------------------------- speed


def ours(report: Report, name: str, size: int, batch: int, **changes: Any) -> Result:
    """Seconds for a thousand images of our training, and what its first step takes."""
    steps_measured = 2 if report.quick else 32
    model, config = report.config(size, 16384, batch)
    tf32, benchmark = changes.pop("tf32", None), changes.pop("benchmark", False)
    config = replace(config, **changes)
    report.peak()
    torch.backends.cudnn.benchmark = benchmark
    state = start(model, config, report.device)
    context, precision = DistributedContext(device=report.device), config.precision
    steps = train(state, noise_batches(model), config, context=context, precision=precision)  # type: ignore[arg-type]
    began = time.perf_counter()
    reports: list[TrainReport] = []

    def advance() -> None:
        if tf32 is not None:
            allow_tf32(tf32)
        reports.append(next(steps))

    advance()
    report.wait()
    first = time.perf_counter() - began
    for _ in range(3 if report.quick else 17):  # every kind of update has taken place twice
        advance()
    report.wait()
    warm = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(steps_measured):
        advance()
    queued = time.perf_counter() - began
    report.wait()
    seconds = (time.perf_counter() - began) / steps_measured
    torch.backends.cudnn.benchmark = False
    values = reports[-1].read().values
    found = {
        "ms": seconds * 1e3,
        "sec/kimg": seconds / config.batch * 1e3,
        "first step s": first,
        "warm after s": warm,
        "host ms": queued / steps_measured * 1e3,
        "gib": report.peak(),
        "notes": [note for one in reports for note in one.notes],
        "last": {key: values[key] for key in ("loss_g", "loss_d", "grad_g", "grad_d") if key in values},
    }
    _tell(name, found, batch=config.batch)
    return found


def theirs(report: Report, name: str, size: int, batch: int, *, num_fp16: int, tf32: bool) -> Result:
    """The same of the peer's, with its setting of cuDNN's benchmark mode."""
    model, config = report.config(size, 16384, batch)
    report.peak()
    allow_tf32(tf32)
    torch.backends.cudnn.benchmark = True
    options = {"r1_gamma": config.r1_gamma, "pl_weight": config.pl_weight, "mixing": config.style_mixing_prob}
    trainer = peer.Peer(report.model(size, 16384), report.device, num_fp16=num_fp16).trainer(lr=config.g_lr, **options)
    shape = (config.batch, 3, *model.image_size)
    reals = itertools.cycle([torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2)])
    began = time.perf_counter()
    trainer.step(next(reals))
    report.wait()
    first = time.perf_counter() - began
    steps = 2 if report.quick else 16
    for _ in range(2 if report.quick else 17):
        trainer.step(next(reals))
    report.wait()
    warm = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step(next(reals))
    queued = time.perf_counter() - began
    report.wait()
    seconds = (time.perf_counter() - began) / steps
    torch.backends.cudnn.benchmark = False
    found = {
        "ms": seconds * 1e3,
        "sec/kimg": seconds / config.batch * 1e3,
        "first step s": first,
        "warm after s": warm,
        "host ms": queued / steps * 1e3,
        "gib": report.peak(),
    }
    _tell(name, found, batch=config.batch)
    return found


def _tell(name: str, found: Result, *, batch: int) -> None:
    print(
        f"  {name}: {found['ms']:.1f} ms a step of {batch}, {found['sec/kimg']:.2f} s/kimg, first step "
        f"{found['first step s']:.1f} s, host {found['host ms']:.1f} ms, {found['gib']} GiB {found.get('notes') or ''}",
        flush=True,
    )


def training(report: Report, size: int, result: Result, *, batch: int = 32, rest: bool = False) -> None:
    """Training at one size: the most important alternatives, or the ``rest`` of them."""
    plans: list[tuple[str, Callable[[str], Result]]]
    if not rest:
        plans = [
            ("ours bf16", lambda name: ours(report, name, size, batch, precision="bf16" if report.is_cuda else "fp32")),
            ("ada fp16", lambda name: theirs(report, name, size, batch, num_fp16=4 * report.is_cuda, tf32=False)),
            (
                "ours bf16, no graphs",
                lambda name: ours(report, name, size, batch, precision="bf16", cuda_graphs="off"),
            ),
        ]
    else:
        plans = [
            ("ours fp32 with tf32", lambda name: ours(report, name, size, batch, precision="fp32", tf32=True)),
            ("ada fp32 with tf32", lambda name: theirs(report, name, size, batch, num_fp16=0, tf32=True)),
            ("ours bf16, no triton", lambda name: _without_triton(report, name, size, batch)),
            ("ours bf16 everywhere", lambda name: ours(report, name, size, batch, **_bf16(None))),
            ("ours bf16, benchmark mode", lambda name: ours(report, name, size, batch, benchmark=True, **_bf16(4))),
            ("ours fp32", lambda name: ours(report, name, size, batch, precision="fp32")),
            ("ours fp16", lambda name: ours(report, name, size, batch, precision="fp16" if report.is_cuda else "fp32")),
        ]
    _each(report, plans, result)
    pairs = (("ours bf16", "ada fp16"), ("ours fp32 with tf32", "ada fp32 with tf32"))
    for one, other in pairs:
        if "ms" in result.get(one, {}) and "ms" in result.get(other, {}):
            result[f"{other} / {one}"] = ratio = result[other]["ms"] / result[one]["ms"]
            print(f"  {other} / {one}: {ratio:.2f}")


def _without_triton(report: Report, name: str, size: int, batch: int) -> Result:
    serves = fir_kernel.serves
    fir_kernel.serves = lambda *given: False
    try:
        return ours(report, name, size, batch, precision="bf16" if report.is_cuda else "fp32")
    finally:
        fir_kernel.serves = serves


def _bf16(resolutions: int | None) -> dict[str, Any]:
    return {"precision": "bf16", "reduced_resolutions": resolutions}


def _each(report: Report, plans: list[tuple[str, Callable[[str], Result]]], result: Result) -> None:
    for name, measure in plans:
        if name.startswith("ada") and report.ada is None:
            continue
        if report.left < 12 and not report.quick:
            result[name] = {"error": "left out: no time"}
            continue
        try:
            result[name] = measure(name)
        except Exception:
            result[name] = {"error": traceback.format_exc()[-2000:]}
            print(f"  {name}: {traceback.format_exc()[-900:]}", flush=True)
            report.wait()
        report.save()
        gc.collect()
        if report.is_cuda:
            torch.cuda.empty_cache()


def seconds_of(report: Report, function: Callable[[], object], *, budget: float = 0.4) -> float:
    """Median of repeated calls, each waited for."""
    for _ in range(2):
        function()
    report.wait()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < budget and len(times) < 50):
        start_time = time.perf_counter()
        function()
        report.wait()
        times.append(time.perf_counter() - start_time)
        if report.quick:
            break
    return statistics.median(times)


@torch.no_grad()
def synthesis(report: Report, size: int, base: int, result: Result, batches: tuple[int, ...] = (1, 8, 32)) -> None:
    """Images per second of both generators, in turn, in each precision."""
    model = report.model(size, base)
    ws = model.generator.mapping(
        torch.randn(max(batches), model.config.z_dim, generator=torch.Generator())
    ).contiguous()
    ours_network = copy.deepcopy(model.generator.synthesis).to(report.device).eval().requires_grad_(False)
    ws = ws.to(report.device)
    runs: dict[str, Callable[[Tensor], object]] = {}
    for mode in MODES if report.is_cuda else ("fp32",):
        runs[f"ours {mode}"] = _our_images(ours_network, mode, report.device)
    if report.ada is not None:
        for mode, num_fp16 in (("fp32", 0), ("tf32", 0), ("fp16", 4)) if report.is_cuda else (("fp32", 0),):
            runs[f"ada {mode}"] = _their_images(peer.Peer(model, report.device, num_fp16=num_fp16), mode, report.device)
    check_images(runs, ws[:1], result)
    torch.backends.cudnn.benchmark = False
    for batch in batches[: 1 if report.quick else None]:
        for name, run in runs.items():
            if report.left < 8 and not report.quick:
                return
            report.peak()
            torch.backends.cudnn.benchmark = name.startswith("ada")  # theirs is timed as their commands set it
            try:
                seconds = seconds_of(report, lambda run=run, batch=batch: run(ws[:batch]))
                result[f"{name} b{batch}"] = {"ms": seconds * 1e3, "img/s": batch / seconds, "gib": report.peak()}
            except Exception:
                result[f"{name} b{batch}"] = {"error": traceback.format_exc()[-1500:]}
            torch.backends.cudnn.benchmark = False
    for name, found in result.items():
        if isinstance(found, dict) and "img/s" in found:
            print(f"  {size} px, base {base}, {name}: {found['img/s']:.1f} img/s ({found['ms']:.2f} ms)")


def _our_images(network: Any, mode: str, device: torch.device) -> Callable[[Tensor], object]:
    def run(ws: Tensor) -> object:
        network.execution = Execution()
        with computing(mode, device), torch.inference_mode():
            return network(ws, noise="const")

    return run


def _their_images(other: peer.Peer, mode: str, device: torch.device) -> Callable[[Tensor], object]:
    def run(ws: Tensor) -> object:
        with computing("tf32" if mode == "tf32" else "fp32", device):
            return other.images(ws)

    return run


def check_images(runs: dict[str, Callable[[Tensor], object]], ws: Tensor, result: Result) -> None:
    """How far each one's image is from ours in fp32."""
    images: dict[str, Tensor] = {name: run(ws).float().cpu() for name, run in runs.items()}  # type: ignore[attr-defined]
    result["distance from ours fp32"] = {name: difference(x, images["ours fp32"]) for name, x in images.items()}
    print(" ", {name: f"{value:.0e}" for name, value in result["distance from ours fp32"].items()})


# --------------------------------------------------------------------------------------- where the time goes


def kernels(report: Report, result: Result) -> None:
    """The ten kernels that take longest, of four training steps without regularizers and of synthesis."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CUDA] if report.is_cuda else [ProfilerActivity.CPU]
    model, config = report.config(256, 16384, 32)
    config = replace(config, precision="bf16" if report.is_cuda else "fp32", cuda_graphs="off")
    for what, pl_weight, count in (("training step", 0.0, 2), ("path lengths in it", 2.0, 1)):
        one = replace(config, pl_weight=pl_weight, pl_interval=1)
        state = start(model, one, report.device)
        context, precision = DistributedContext(device=report.device), one.precision
        steps = train(state, noise_batches(model), one, context=context, precision=precision)  # type: ignore[arg-type]
        for _ in range(2):
            next(steps)
        report.wait()
        with profile(activities=activities) as recorder:
            for _ in range(count):
                next(steps)
            report.wait()
        result[what] = _top(recorder, count)
    network = report.model(256, 16384).generator.to(report.device).synthesis
    ws = torch.randn(8, report.model(256, 16384).num_ws, model.w_dim, device=report.device)
    run = _our_images(network, "bf16" if report.is_cuda else "fp32", report.device)
    for _ in range(2):
        run(ws)
    report.wait()
    with profile(activities=activities) as recorder:
        run(ws)
        report.wait()
    result["synthesis 256 b8"] = _top(recorder, 1)
    report.models.clear()
    for what, found in result.items():
        print(f"  {what}: {found['kernels']:.0f} kernels, {found['ms']:.2f} ms")
        for row in found["top"]:
            print(f"    {row['ms']:8.3f} ms x{row['count']:<6g} {row['name'][:110]}")


def _top(recorder: Any, count: int) -> Result:
    def time_of(event: Any) -> float:
        own = getattr(event, "self_device_time_total", 0) or event.self_cpu_time_total
        return float(own) / 1e3 / count

    rows = sorted(
        ({"name": e.key[:160], "ms": time_of(e), "count": e.count / count} for e in recorder.key_averages()),
        key=lambda row: -row["ms"],  # type: ignore[operator]
    )
    total, number = sum(row["ms"] for row in rows), sum(row["count"] for row in rows)  # type: ignore[misc]
    return {"ms": total, "kernels": number, "top": rows[:10]}


def waits(report: Report, result: Result) -> None:
    """How often a step waits for the GPU, plain and with ADA."""
    model, config = report.config(64, 16384, 8)
    for kind in ("none", "ada", "diffaugment"):
        one = replace(config, precision="fp32", cuda_graphs="off", augment=replace(config.augment, kind=kind))
        state = start(model, one, report.device)
        state.augment = replace(state.augment, p=0.5)
        context = DistributedContext(device=report.device)
        steps = train(state, noise_batches(model), one, context=context, precision="fp32")
        next(steps)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if report.is_cuda:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                for _ in range(4):
                    next(steps)
            finally:
                if report.is_cuda:
                    torch.cuda.set_sync_debug_mode("default")
        said = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
        result[kind] = {"in 4 steps": len(said), "where": sorted(set(said))}
    print("  waits in 4 steps:", result)


def table(report: Report) -> None:
    """The numbers that matter, last."""
    found = report.found
    print(f"\n{found.get('machine', {}).get('gpu', 'CPU')}, torch {torch.__version__}")
    print("parity, worst:", found.get("parity", {}).get("worst"))
    print("tests:", found.get("jobs", {}).get("tests"), " plugins:", found.get("jobs", {}).get("plugins run"))
    for section, result in found.items():
        rows = {name: row for name, row in result.items() if isinstance(row, dict) and "ms" in row and "top" not in row}
        for name, row in rows.items():
            speed = f"{row['sec/kimg']:.2f} s/kimg" if "sec/kimg" in row else f"{row['img/s']:.1f} img/s"
            print(f"{section:<28} {name:<28} {row['ms']:9.2f} ms  {speed:>16}  {row.get('gib')} GiB")
        for name, value in result.items():
            if " / " in name:
                print(f"{section:<28} {name:<28} {value:9.2f} x")


SECTIONS: tuple[tuple[str, float, Callable[[Report, Result], None]], ...] = (
    ("machine", 5, machine),
    ("training step", 5, training_step),
    ("parity", 10, parity),
    ("jobs", 5, jobs),
    ("training 256 b32", 20, lambda report, result: training(report, 256, result)),
    ("training 64 b32", 12, lambda report, result: training(report, 64, result)),
    ("synthesis 256 base 16384", 12, lambda report, result: synthesis(report, 256, 16384, result)),
    ("kernels", 8, kernels),
    ("waits", 5, waits),
    ("synthesis 1024 base 32768", 15, lambda report, result: synthesis(report, 1024, 32768, result)),
    ("training 256 b32, more", 15, lambda report, result: training(report, 256, result, rest=True)),
    ("synthesis 256 base 32768", 12, lambda report, result: synthesis(report, 256, 32768, result)),
    ("training 64 b32, more", 15, lambda report, result: training(report, 64, result, rest=True)),
)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON; logs are written beside it")
    parser.add_argument("--peer", metavar="ada=DIR", help="checkout of stylegan2-ada-pytorch")
    parser.add_argument("--minutes", type=float, default=5.0, help="time for everything (%(default)s)")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="tiny networks, and no regard to time")
    parser.add_argument("--only", metavar="WORD", help="sections whose names contain this")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    ada = Path(options.peer.partition("=")[2]).resolve() if options.peer else None
    end = time.perf_counter() + options.minutes * 60
    report = Report(options.out.resolve(), torch.device(options.device), options.quick, ada, end)
    if ada is not None:
        peer.adapt(ada, report.device)
    if not options.only:
        start_jobs(report)
    for name, needs, run in SECTIONS:
        if not options.only or options.only in name:
            if report.left < needs and not report.quick:
                report.found[name] = {"error": f"left out: {report.left:.0f} s are left, it needs about {needs:.0f}"}
                print(f"{name}: {report.found[name]['error']}", flush=True)
                continue
            with report.section(name) as result:
                run(report, result)
    for job in report.jobs.values():
        if job.poll() is None:
            job.kill()
    report.found["total"] = {"seconds": round(time.perf_counter() - report.began, 1)}
    report.save()
    table(report)


if __name__ == "__main__":
    main()
