"""Times synthesis of StyleGAN2 config F at 256 px against stylegan2-ada-pytorch's reference path, on the same weights.

    python -m tests.benchmarks.bench_synthesis --ada PATH/TO/stylegan2-ada-pytorch

Both networks run in turn, A B A B ..., so that a busy machine slows both alike; medians and minima are printed. Before
anything is timed their images must agree. Their code stays where it is and is imported from there. Theirs computes in
float32 on a CPU, whatever ours does. A second table holds `walk` against a loop written out by hand.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig, SynthesisConfig
from sgkit.model import Branch, Canvas, Generator, State, StoredNoise, Synthesis, build, walk
from sgkit.runtime.allocator import keep_freed_memory
from sgkit.runtime.device import cpu_flags
from sgkit.runtime.precision import autocast, bf16_units
from tests.benchmarks.contestants import TOLERANCE, config_f
from tests.benchmarks.timing import Timing, interleaved

CPU = torch.device("cpu")
CHANNEL_BASE = 16384
INTERESTING_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")


def speed_up(base: Timing, timing: Timing) -> str:
    """How often ``timing`` fits into ``base``: rounds compared pairwise, minima, processor time."""
    paired = statistics.median(a / b for a, b in zip(base.seconds, timing.seconds, strict=True))
    minima, cpu = base.minimum / timing.minimum, base.cpu_median / timing.cpu_median
    return f"{paired:.2f}x theirs (minima {minima:.2f}x, cpu {cpu:.2f}x)"


def our_generator(size: int) -> Generator:
    """The generator of config F."""
    return config_f(size, CHANNEL_BASE).generator


def their_generator(folder: Path, ours: Generator) -> nn.Module:
    """stylegan2-ada-pytorch's Generator, holding our weights.

    Its layout, from our names: ``b8_conv0`` is ``b8.conv0`` (flipped: it upsamples), ``b8_rgb`` is ``b8.torgb``.
    """
    if not (folder / "training" / "networks.py").is_file():
        raise SystemExit(f"{folder} is no checkout of stylegan2-ada-pytorch: training/networks.py is not there.")
    sys.path.insert(0, str(folder))
    from training.networks import Generator as TheirGenerator

    config = ours.config
    theirs: nn.Module = TheirGenerator(
        z_dim=config.z_dim,
        c_dim=config.label_dim,
        w_dim=config.w_dim,
        img_resolution=config.image_size[0],
        img_channels=config.image_channels,
        mapping_kwargs={"num_layers": config.mapping.num_layers, "lr_multiplier": config.mapping.lr_multiplier},
        synthesis_kwargs={"channel_base": config.synthesis.channel_base, "channel_max": config.synthesis.channel_max},
    )
    target = {**dict(theirs.named_parameters()), **dict(theirs.named_buffers())}
    with torch.no_grad():
        for name, tensor in ours.state_dict().items():
            parts = name.split(".")
            flipped = False
            if parts[0] == "synthesis":
                block, layer = parts[1].split("_", 1)
                flipped = layer == "conv0" and parts[2] == "weight"
                parts[1:2] = [block] if layer == "input" else [block, "torgb" if layer == "rgb" else layer]
            target[".".join(parts)].copy_(tensor.flip((2, 3)) if flipped else tensor)
    return theirs.eval().requires_grad_(False)


def hand_written(network: Synthesis, styles: dict[str, Tensor]) -> Tensor:
    """What `walk` does for one plain branch, without it."""
    state, noise = State(), StoredNoise()
    canvases = itertools.accumulate(network.plan, lambda c, s: c.after(s), initial=Canvas.canonical(network.plan))
    for spec, canvas in zip(network.plan, list(canvases)[1:], strict=True):
        state = network.layer(spec.name)(spec, replace(state, canvas=canvas), styles.get(spec.name), noise)
    return state.image


def agree(one: Tensor, other: Tensor, *, precision: str) -> float:
    """The largest difference as a part of the largest magnitude; ends the program when it is too large."""
    difference = float((one.float() - other.float()).abs().max() / other.float().abs().max())
    if difference > TOLERANCE[precision]:
        raise SystemExit(f"The images differ by {difference:.2e} in {precision}, so timing them would mean nothing.")
    return difference


def row(name: str, timing: Timing, batch: int, *notes: str) -> str:
    median, minimum, cpu = (1000 * seconds / batch for seconds in (timing.median, timing.minimum, timing.cpu_median))
    figures = f"{median:8.1f} ms/image (min {minimum:.1f}, cpu {cpu:.1f}, spread {timing.spread:.0%})"
    return f"  {name:<14}{figures}  {'  '.join(notes)}"


def against_theirs(ours: Generator, theirs: Any, *, batches: list[int], precisions: list[str], rounds: int) -> None:
    """One table per batch size: theirs, and ours in each precision, in the same rounds."""
    for batch in batches:
        ws = ours.mapping(torch.randn(batch, ours.config.z_dim))

        def run_ours(precision: Any, ws: Tensor = ws) -> Tensor:
            with autocast(precision, CPU):
                return ours.synthesis(ws)

        def run_theirs(ws: Tensor = ws) -> Tensor:
            return theirs.synthesis(ws, noise_mode="const")

        expected = run_theirs()
        differences = {p: agree(run_ours(p), expected, precision=p) for p in precisions}
        functions: dict[str, Callable[[], object]] = {"theirs, fp32": run_theirs}
        functions |= {f"ours, {p}": (lambda p=p: run_ours(p)) for p in precisions}
        timings = interleaved(functions, rounds=rounds)
        base = timings["theirs, fp32"]
        print(f"batch {batch}")
        print(row("theirs, fp32", base, batch))
        for precision in precisions:
            timing = timings[f"ours, {precision}"]
            notes = (speed_up(base, timing), f"images differ by {differences[precision]:.0e}")
            print(row(f"ours, {precision}", timing, batch, *notes), flush=True)


def against_hand_written(ours: Generator, *, rounds: int) -> None:
    """`walk` against the loop, on a network so small that the loop's own cost would show."""
    small = ModelConfig(
        image_size=(32, 32), z_dim=16, w_dim=16, synthesis=SynthesisConfig(channel_base=128, channel_max=8)
    )
    for title, network, times in (
        ("256 px", ours.synthesis, 1),
        ("32 px, 8 channels", build(small).generator.synthesis, 20),
    ):
        styles = network.styles(torch.randn(1, network.num_ws, network.config.w_dim))

        def by_walk(network: Synthesis = network, styles: Any = styles, times: int = times) -> Tensor:
            return [walk([Branch(network, styles)])[0].image for _ in range(times)][-1]

        def by_hand(network: Synthesis = network, styles: Any = styles, times: int = times) -> Tensor:
            return [hand_written(network, styles) for _ in range(times)][-1]

        if not torch.equal(by_walk(), by_hand()):
            raise SystemExit("walk and the loop written out by hand give different images.")
        timings = interleaved({"walk": by_walk, "hand": by_hand}, rounds=rounds)
        walked, hand = timings["walk"], timings["hand"]
        per_layer = (walked.cpu_median - hand.cpu_median) / times / len(network.plan)
        print(f"walk against a loop written out by hand, {title}")
        print(row("loop", hand, times))
        notes = (
            f"{walked.median / hand.median:.3f} of the loop (minima {walked.minimum / hand.minimum:.3f}, "
            f"cpu {walked.cpu_median / hand.cpu_median:.3f}), {per_layer * 1e6:+.1f} us/layer"
        )
        print(row("walk", walked, times, notes), flush=True)


def profile(ours: Generator, *, batch: int, precision: Any) -> None:
    """The operators in which our synthesis spends its time."""
    ws = ours.mapping(torch.randn(batch, ours.config.z_dim))
    with autocast(precision, CPU):
        ours.synthesis(ws)
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, record_shapes=True) as recorder:
            ours.synthesis(ws)
    print(f"profile of ours, batch {batch}, {precision}")
    print(recorder.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
    print(
        recorder.key_averages(group_by_input_shape=True).table(
            sort_by="self_cpu_time_total", row_limit=40, max_shapes_column_width=70
        )
    )


def describe_machine() -> None:
    flags = cpu_flags()
    has = [flag for flag in INTERESTING_FLAGS if flag in flags]
    lacks = [flag for flag in INTERESTING_FLAGS if flag not in flags]
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads", end=", ")
    print(f"torch uses {torch.backends.cpu.get_cpu_capability()}")
    print(f"CPU has {' '.join(has) or 'none of them'}; lacks {' '.join(lacks) or 'nothing'}", end="; ")
    print(f"bf16 matrix units: {bf16_units(CPU) or 'none, so bf16 is emulated and slow here'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ada", type=Path, help="folder of stylegan2-ada-pytorch; left out: only walk is timed")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is timed (2 or more)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="also print the profiler's top operators for ours")
    parser.add_argument("--keep-memory", action="store_true", help="keep freed memory, as the sgkit command does")
    parser.add_argument("--no-walk", action="store_true", help="leave out the comparison with a hand-written loop")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")  # their code is old; ours is tested with warnings as errors
    describe_machine()
    if options.keep_memory:
        print("freed memory is kept (for both)" if keep_freed_memory() else "this C library cannot keep freed memory")
    ours = our_generator(options.size)
    with torch.no_grad():
        if options.ada:
            theirs = their_generator(options.ada, ours)
            against_theirs(ours, theirs, batches=options.batch, precisions=options.precision, rounds=options.rounds)
        if not options.no_walk:
            against_hand_written(ours, rounds=options.rounds)
        if options.profile:
            for batch in options.batch:
                profile(ours, batch=batch, precision="fp32")


if __name__ == "__main__":
    main()
