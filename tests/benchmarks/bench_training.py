"""Times a training step of StyleGAN2, phase by phase, against stylegan2-ada-pytorch's own loss class and networks.

    python -m tests.benchmarks.bench_training --ada PATH/TO/stylegan2-ada-pytorch [--sizes 64] [--profile d_reg]

Both start with the same weights and see the same real images; images and logits must agree before anything is timed. In
each round every phase runs once on either side, in turn, so that a busy machine slows both alike. Theirs is their
``StyleGAN2Loss`` inside the steps of their training loop, written out here; their code stays where it is. It computes
in float32 on a CPU, whatever ours does. ``step`` is what a step costs on average: ``g`` and ``d`` each time, path
lengths every 4th, R1 every 16th, the moving average, and reading a batch of PNGs in the training process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from sgkit.checkpoint import export
from sgkit.config import DiscriminatorConfig, ModelConfig, SynthesisConfig, TrainConfig
from sgkit.model import Model, build
from sgkit.runtime.allocator import keep_freed_memory
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, bf16_units
from sgkit.store import StoreDataset, batches
from sgkit.tasks.prepare import PrepareOptions, prepare
from sgkit.training.batches import Shard
from sgkit.training.ema import update_average
from sgkit.training.rng import Rng
from sgkit.training.schedules import stage_at
from sgkit.training.state import TrainState
from sgkit.training.step import TrainingStep
from tests.gpu import peer

CPU = torch.device("cpu")
SHARES = {"g": 1.0, "g_reg": 1 / 4, "d": 1.0, "d_reg": 1 / 16, "ema": 1.0, "data": 1.0}
"""Phase -> how often a step runs it (pl_interval 4, d_reg_interval 16)."""
TOLERANCE = 1e-3  # of the largest magnitude
Phases = dict[str, Callable[[], object]]


def our_phases(model: Model, reals: Tensor, stream: Iterator[Any], precision: ResolvedPrecision) -> Phases:
    """Our phases on the batch ``reals`` [N, 3, H, W]; ``data`` reads another from ``stream``."""
    config = TrainConfig(batch=len(reals), precision=precision)
    state = TrainState.start(model, config)
    steps = TrainingStep(
        state=state,
        config=config,
        stage=stage_at(0, model.config, config),
        context=DistributedContext(device=CPU),
        precision=precision,
        rng=Rng(seed=0, device=CPU),
    )
    shards = [Shard(images=reals, labels=None, numbers=range(len(reals)))]
    return {
        "g": lambda: steps.update_g(shards, path_length=False),
        "g_reg": lambda: steps.update_g(shards, adversarial=False, path_length=True),
        "d": lambda: steps.update_d(shards, penalties=False),
        "d_reg": lambda: steps.update_d(shards, adversarial=False, penalties=True),
        "ema": lambda: update_average(model.generator, state.generator, beta=0.999),
        "data": lambda: next(stream).images.to(torch.float32) / 127.5 - 1.0,
    }


class Theirs:
    """stylegan2-ada-pytorch's networks with our weights, and the phases of its training loop."""

    def __init__(self, folder: Path, model: Model) -> None:
        if not (folder / "training" / "loss.py").is_file():
            raise SystemExit(f"{folder} is no checkout of stylegan2-ada-pytorch: training/loss.py is not there.")
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        from training.loss import StyleGAN2Loss
        from training.networks import Discriminator, Generator

        size, synthesis = model.config.image_size[0], model.config.synthesis
        sizes: dict[str, Any] = {"channel_base": synthesis.channel_base, "channel_max": synthesis.channel_max}
        kwargs: dict[str, Any] = {"c_dim": 0, "img_resolution": size, "img_channels": 3}
        mapping = {"num_layers": model.config.mapping.num_layers, "lr_multiplier": 0.01}
        self.z_dim = model.config.z_dim
        latents = {"z_dim": self.z_dim, "w_dim": model.config.w_dim, "mapping_kwargs": mapping}
        self.g, self.average = (Generator(**kwargs, **latents, synthesis_kwargs=sizes) for _ in range(2))
        self.d = Discriminator(**kwargs, **sizes)
        self._load(model)
        self.average.eval().requires_grad_(False)
        for network in (self.g, self.d):
            network.train().requires_grad_(False)
        self.loss = StyleGAN2Loss(CPU, self.g.mapping, self.g.synthesis, self.d)
        self.optimizers = {
            id(network): torch.optim.Adam(network.parameters(), lr=0.002 * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)
            for network, ratio in ((self.g, 4 / 5), (self.d, 16 / 17))
        }

    def _load(self, model: Model) -> None:
        with tempfile.TemporaryDirectory() as folder:
            export(model, Path(folder) / "model.safetensors", form="nvidia")
            tensors = load_file(Path(folder) / "model.safetensors")
        for prefix, networks in (("G_ema.", (self.g, self.average)), ("D.", (self.d,))):
            part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            for network in networks:
                network.load_state_dict(part)

    def phases(self, reals: Tensor, stream: Iterator[Any]) -> Phases:
        """Their phases on the batch ``reals``; ``data`` reads another from ``stream``."""
        return {
            "g": lambda: self._move(self.g, "Gmain", 1, reals),
            "g_reg": lambda: self._move(self.g, "Greg", 4, reals),
            "d": lambda: self._move(self.d, "Dmain", 1, reals),
            "d_reg": lambda: self._move(self.d, "Dreg", 16, reals),
            "ema": lambda: peer.update_average(self.average, self.g),
            "data": lambda: next(stream)[0].to(torch.float32) / 127.5 - 1,
        }

    def _move(self, network: Any, phase: str, gain: int, reals: Tensor) -> None:
        z = torch.randn(len(reals), self.z_dim)
        peer.move(self.loss, network, self.optimizers[id(network)], phase, gain=gain, reals=reals, z=z)


def our_stream(folder: Path, size: int, batch: int) -> Iterator[Any]:
    """Batches from a store of PNGs, made anew; decoded in this process, so that its processor time counts them."""
    out = folder / f"store{size}"
    settings = PrepareOptions.from_dict({"size": (size, size), "encoding": "png"})
    prepare("sample:landscapes?count=256", out, options=settings)
    return iter(batches(StoreDataset(out), batch=batch, seed=0))


def their_stream(folder: Path, size: int, batch: int) -> Iterator[Any]:
    """Batches of the same pictures from a zip of PNGs without compression, as their dataset_tool writes it."""
    from training.dataset import ImageFolderDataset

    path = folder / f"theirs{size}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, (pixels, _) in enumerate(iter(StoreDataset(folder / f"store{size}"))):
            buffer = BytesIO()
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "PNG", compress_level=0)
            archive.writestr(f"{number:05d}.png", buffer.getvalue())
    dataset = ImageFolderDataset(path=str(path))
    # Their own sampler does not start with this torch; an epoch of this one is longer than any run.
    sampler = RandomSampler(dataset, replacement=True, num_samples=10**6)
    return iter(DataLoader(dataset, sampler=sampler, batch_size=batch))


def check(model: Model, theirs: Theirs, reals: Tensor) -> None:
    """End the program unless images and logits agree."""
    assert model.discriminator is not None
    z = torch.randn(2, theirs.z_dim)
    with torch.no_grad():
        pairs = {
            "images": (model.synthesize(model.map(z)), theirs.average(z, None, noise_mode="const")),
            "logits": (model.discriminate(reals), theirs.d(reals, None)),
        }
    for name, (one, other) in pairs.items():
        difference = float((one - other).abs().max() / other.abs().max())
        if difference > TOLERANCE:
            raise SystemExit(f"The {name} differ by {difference:.2e}, so timing them would mean nothing.")
        print(f"  {name} differ by {difference:.0e}")


def measure(contestants: dict[str, Phases], names: list[str], rounds: int) -> dict[tuple[str, str], Tensor]:
    """(contestant, phase) -> seconds [2, rounds] on the clock and of the processor, after one that does not count."""
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for round_index in range(rounds + 1):
        for phase in names:
            for who, phases in contestants.items():
                start, cpu = time.perf_counter(), time.process_time()
                phases[phase]()
                if round_index:
                    spent = (time.perf_counter() - start, time.process_time() - cpu)
                    seconds.setdefault((who, phase), []).append(spent)
    return {key: torch.tensor(values).t() for key, values in seconds.items()}


def table(seconds: dict[tuple[str, str], Tensor], names: list[str], *, batch: int) -> None:
    """Medians as milliseconds an image, clock and processor, and the ratio of theirs to ours."""
    who = list(dict.fromkeys(key[0] for key in seconds))
    medians = {key: value.median(dim=1).values * 1000 / batch for key, value in seconds.items()}
    if set(names) == set(SHARES):
        for one in who:
            medians[one, "step"] = torch.stack([medians[one, name] * SHARES[name] for name in names]).sum(dim=0)
        names = [*names, "step"]
    print(f"  {'ms/image, clock (cpu)':<24}" + "".join(f"{name:>20}" for name in names))
    for one in who:
        cells = (f"{medians[one, name][0]:.1f} ({medians[one, name][1]:.1f})" for name in names)
        print(f"  {one:<24}" + "".join(f"{cell:>20}" for cell in cells))
    for one in who:
        if "theirs" in who and one != "theirs":
            ratios = (medians["theirs", name] / medians[one, name] for name in names)
            cells = (f"{ratio[0]:.2f} ({ratio[1]:.2f})" for ratio in ratios)
            print(f"  {'theirs / ' + one:<24}" + "".join(f"{cell:>20}" for cell in cells))
    if "step" in names:
        for one in who:
            share = medians[one, "data"] / medians[one, "step"]
            print(f"  data: {share[0]:.2%} ({share[1]:.2%}) of the step of {one}")


def profile(phase: Callable[[], object], name: str) -> None:
    """The operators in which our ``phase`` spends its time."""
    phase()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as recorder:
        phase()
    print(f"profile of ours, {name}")
    print(recorder.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50))
    by_shape = recorder.key_averages(group_by_input_shape=True)
    print(by_shape.table(sort_by="self_cpu_time_total", row_limit=40, max_shapes_column_width=90))


def bench(size: int, options: argparse.Namespace, folder: Path) -> None:
    """One table."""
    channels = options.channel_base or {64: 4096, 256: 16384}.get(size, 8192)
    config = ModelConfig(
        image_size=(size, size),
        synthesis=SynthesisConfig(channel_base=channels),
        discriminator=DiscriminatorConfig(channel_base=channels),
    )
    batch = options.batch or {64: 8, 256: 4}.get(size, 4)
    print(f"{size} px, channel_base {channels}, batch {batch}")
    stream = our_stream(folder, size, batch)
    reals = next(stream).images.to(torch.float32) / 127.5 - 1.0
    contestants: dict[str, Phases] = {}
    if options.ada:
        theirs = Theirs(options.ada, build(config, seed=1))
        check(build(config, seed=1), theirs, reals)
        contestants["theirs"] = theirs.phases(reals, their_stream(folder, size, batch))
    for precision in options.precision:
        contestants[f"ours, {precision}"] = our_phases(build(config, seed=1), reals, stream, precision)
    if options.profile:
        profile(contestants[f"ours, {options.precision[0]}"][options.profile], options.profile)
        return
    table(measure(contestants, options.phases, options.rounds), options.phases, batch=batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ada", type=Path, help="folder of stylegan2-ada-pytorch; left out: only ours is timed")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--channel-base", type=int, help="channels at 1x1 (default 4096 at 64 px, 16384 at 256 px)")
    parser.add_argument("--batch", type=int, help="images in a step (default 8 at 64 px, 4 at 256 px)")
    parser.add_argument("--phases", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "bf16"), help="of ours; default: fp32, and bf16 where it has units"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep-memory", action="store_true", help="keep freed memory, as the sgkit command does")
    parser.add_argument("--profile", choices=SHARES, help="print the top operators of a phase of ours instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")  # their code is old; ours is tested with warnings as errors
    units = bf16_units(CPU)
    print(f"torch {torch.__version__}, {options.threads} threads, bf16 units: {units or 'none'}")
    if options.precision is None:
        options.precision = ["fp32", "bf16"] if units else ["fp32"]
        if not units:
            print("bf16 is left out: this CPU would emulate it, which says nothing (--precision bf16 does it).")
    if options.keep_memory:
        print("freed memory is kept (for both)" if keep_freed_memory() else "this C library cannot keep freed memory")
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            bench(size, options, Path(name))


if __name__ == "__main__":
    main()
