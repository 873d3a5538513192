"""Look for convolutions that hang, crash or are very slow on this processor, among those that the presets use.

    python -m tests.benchmarks.scan_convolutions [--presets stylegan3-t,...] [--size 64] [--channels 16] [--batch 2]

The shapes are recorded without computing anything (fake tensors): for each preset drawing, one training pass of
generator and discriminator, R1 and path lengths, in fp32 and under bf16 autocast. Each shape then runs in a process
that is killed when it takes longer than the limit. Prints those that failed, and those where bf16 is far slower than
fp32.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from sgkit.config import ModelConfig, override
from sgkit.config.presets import PRESETS, preset
from sgkit.model import Discriminator, Generator
from sgkit.runtime.device import cpu_flags
from sgkit.runtime.precision import autocast
from sgkit.training.losses import path_lengths

CPU = torch.device("cpu")
SLOW = 8.0
"""Times as slow as fp32 from which bf16 is worth a line."""

Call = dict[str, Any]
"""One convolution, in values that JSON knows."""

EASY: Call = {
    "kind": "forward",
    "dtype": "float32",
    "x": [1, 1, 1, 1],
    "weight": [1, 1, 1, 1],
    "x_last": False,
    "weight_last": False,
    "rest": [[1, 1], [0, 0], [1, 1], False, [0, 0], 1],
    "mask": None,
}


class Recorder(TorchDispatchMode):
    """Collects the convolutions that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, Call] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note convolutions and their backward passes; run everything as usual."""
        if function is torch.ops.aten.convolution.default:
            x, weight, _, *rest = args
            self._add("forward", x, weight, rest)
        elif function is torch.ops.aten.convolution_backward.default:
            _, x, weight, _, *rest, mask = args
            self._add("backward", x, weight, rest, list(mask))
        return function(*args, **(kwargs or {}))

    def _add(self, kind: str, x: Tensor, weight: Tensor, rest: Any, mask: list[bool] | None = None) -> None:
        stride, padding, dilation, transposed, output_padding, groups = rest
        call = {
            "kind": kind,
            "dtype": str(x.dtype).removeprefix("torch."),
            "x": [int(side) for side in x.shape],
            "weight": [int(side) for side in weight.shape],
            "x_last": _is_last(x),
            "weight_last": _is_last(weight),
            "rest": [list(stride), list(padding), list(dilation), transposed, list(output_padding), groups],
            "mask": mask,
        }
        self.calls[json.dumps(call)] = call


def _is_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def recorded(config: ModelConfig, batch: int) -> dict[str, Call]:
    """Every convolution that drawing and training with ``config`` makes, by its description."""
    with FakeTensorMode(allow_non_fake_inputs=True), Recorder() as recorder:
        generator, discriminator = Generator(config), Discriminator(config)
        label = torch.zeros(batch, config.label_dim)
        for precision in ("fp32", "bf16"):
            for training in (False, True):
                for network in (generator, discriminator):
                    network.train(training).requires_grad_(training)
                with torch.set_grad_enabled(training), autocast(precision, CPU):  # type: ignore[arg-type]
                    images = generator(torch.randn(batch, config.z_dim), label, noise="random")
                    logits = discriminator(images, label)
                if training:
                    (logits.float().sum() + images.float().sum()).backward()
        images = torch.randn(batch, config.image_channels, *config.image_size, requires_grad=True)
        (slope,) = torch.autograd.grad(discriminator(images, label).sum(), images, create_graph=True)
        slope.square().sum().backward()
        ws = generator.mapping(torch.randn(batch, config.z_dim), label)
        ws = ws if ws.requires_grad else ws.requires_grad_()
        images = generator.synthesis(ws, noise="random")
        path_lengths(images, ws, torch.randn_like(images)).sum().backward()
    return recorder.calls


def run(call: Call) -> float:
    """Seconds of one convolution."""
    dtype = getattr(torch, call["dtype"])
    x, weight = (_tensor(call[name], call[f"{name}_last"], dtype) for name in ("x", "weight"))
    began = time.perf_counter()
    y = torch.ops.aten.convolution(x, weight, None, *call["rest"])
    if call["kind"] == "backward":
        upstream = torch.ones_like(y)
        began = time.perf_counter()
        torch.ops.aten.convolution_backward(upstream, x, weight, None, *call["rest"], call["mask"])
    return time.perf_counter() - began


def _tensor(shape: list[int], last: bool, dtype: torch.dtype) -> Tensor:
    return (
        torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    )


def serve(pipe: Connection) -> None:
    """Run what comes through the pipe, one after the other."""
    torch.set_num_threads(1)
    while True:
        call = pipe.recv()
        run(call)  # the first one also generates the code
        pipe.send(run(call))


def timed(calls: Iterable[Call], limit: float) -> Iterable[tuple[Call, float | str]]:
    """Each call with its seconds, or what became of it."""
    context = multiprocessing.get_context("spawn")
    worker, pipe = None, None
    for call in calls:
        if worker is None or pipe is None:
            pipe, other = context.Pipe()
            worker = context.Process(target=serve, args=(other,), daemon=True)
            worker.start()
            other.close()
            pipe.send(EASY)
            pipe.recv()  # the imports are not what is measured
        pipe.send(call)
        outcome: float | str = "hangs"
        if pipe.poll(limit):
            try:
                outcome = pipe.recv()
            except EOFError:
                worker.join()
                outcome = f"ends the process ({worker.exitcode})"
        if isinstance(outcome, str):
            worker.kill()
            worker = None
        yield call, outcome
    if worker is not None:
        worker.kill()


def describe(call: Call) -> str:
    """A line on a convolution."""
    stride, padding, _, transposed, _, groups = call["rest"]
    layout = "channels_last" if call["x_last"] else "contiguous"
    name = ("transposed " if transposed else "") + f"{call['kind']} {call['dtype']} {call['x']} * {call['weight']}"
    return f"{name} stride {stride} padding {padding} groups {groups}, {layout}"


def main() -> None:
    """Record, run, print."""
    warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default=",".join(PRESETS), help="presets to scan, separated by commas")
    parser.add_argument("--size", type=int, help="image size (default: the preset's)")
    parser.add_argument("--channels", type=int, help="at most so many channels (default: the preset's)")
    parser.add_argument("--batch", type=int, default=2, help="images at once")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds after which a convolution counts as hanging")
    options = parser.parse_args()
    calls: dict[str, Call] = {}
    for name in options.presets.split(","):
        size = None if options.size is None else (options.size, options.size)
        model = preset(name, image_size=size).model
        if options.channels is not None:
            model = override(
                model,
                {f"{part}.channel_max": options.channels for part in ("synthesis", "discriminator")},
            )
        calls |= recorded(model, options.batch)
    print(
        f"{len(calls)} convolutions; bf16 units: {sorted(flag for flag in cpu_flags() if 'bf16' in flag)}", flush=True
    )
    seconds: dict[str, float] = {}
    failed = 0
    for call, outcome in timed(calls.values(), options.limit):
        if isinstance(outcome, str):
            failed += 1
            print(f"{outcome}: {describe(call)}", flush=True)
        else:
            seconds[json.dumps(call)] = outcome
    for key, took in seconds.items():
        plain = seconds.get(json.dumps({**calls[key], "dtype": "float32"}))
        if calls[key]["dtype"] == "bfloat16" and plain and took > SLOW * plain and took > 1e-3:
            print(f"{took / plain:.0f} times as slow as fp32: {describe(calls[key])}")
    print(f"{len(seconds)} ran, {failed} did not.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
