"""Times preparation and reading of images against bare Pillow and, where their folders are named, against other tools.

    python -m tests.benchmarks.bench_prepare prepare --images faces.zip --size 128
    python -m tests.benchmarks.bench_prepare prepare --large 24 --size 256 --ada DIR --rosinality DIR --peer-python EXE
    python -m tests.benchmarks.bench_prepare memory --images faces.zip
    python -m tests.benchmarks.bench_prepare reader
    python -m tests.benchmarks.bench_prepare decoding [--images faces.zip --size 32]

Every contestant is a process of its own. They run in turn, A B C A B C ..., so that a busy machine slows all alike,
and medians are printed: seconds on the clock, processor seconds, and the largest memory of a process and its workers
together. NVIDIA's dataset_tool writes PNG without compression, which is to be compared with sgkit's ``raw``;
rosinality's prepare_data writes JPEG of quality 100 and runs with two workers. Both stay where they are.
They need a Python of their own (Pillow below 10, click, tqdm, torchvision), named by --peer-python.
"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sgkit.runtime.outputs import PNG_SETTINGS

if TYPE_CHECKING:
    from sgkit.store import Batch

BARE = """
import io, sys, zipfile
from PIL import Image
source, target, size, png = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])
with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as out:
    for name in sorted(archive.namelist()):
        if name.lower().endswith((".jpg", ".png")):
            image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.LANCZOS)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", **png)
            out.writestr(name + ".png", buffer.getvalue())
"""
OURS = """
import sys
from sgkit.tasks.prepare import PrepareOptions, prepare
if __name__ == "__main__":
    source, out, size, workers, how = sys.argv[1:6]
    encoding = "raw" if how == "raw" else "png"
    options = PrepareOptions(size=(int(size), int(size)), exact_decoding=how == "exact", encoding=encoding)
    prepare(source, out, options=options, workers=int(workers))
"""


class Measured:
    """Seconds on the clock and of the processors, and peak memory in MiB, of a process and its children."""

    def __init__(
        self, command: list[str], cwd: Path | None = None, *, environment: dict[str, str] | None = None
    ) -> None:
        before, start = _cpu_of_children(), time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.peak = 0.0
        watcher = threading.Thread(target=self._watch, args=(process,))
        watcher.start()
        _, errors = process.communicate()
        self.seconds = time.perf_counter() - start
        watcher.join()
        self.cpu = _cpu_of_children() - before
        if process.returncode:
            raise SystemExit(f"{command[:2]} failed:\n{errors.decode()[-2000:]}")

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            self.peak = max(self.peak, sum(_resident(pid) for pid in _family(process.pid)))
            time.sleep(0.05)


def _cpu_of_children() -> float:
    """Processor seconds of all processes that this one and its children have waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _family(root: int) -> list[int]:
    """A process and its descendants (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, open_ = [], [root]
    while open_:
        found.append(open_.pop())
        open_ += children.get(found[-1], [])
    return found


def _resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0.0


def small_pngs(count: int, path: Path, photographs: Path | None) -> None:
    """PNG files of 256x256, a few dozen different ones: photographs, or landscapes."""
    with zipfile.ZipFile(path, "w") as archive:
        files = []
        for scene in _scenes(min(count, 50), photographs):
            buffer = io.BytesIO()
            scene.resize((256, 256), Image.Resampling.LANCZOS).save(buffer, "PNG")
            files.append(buffer.getvalue())
        for index in range(count):
            archive.writestr(f"{index:05d}.png", files[index % len(files)])


def large_jpegs(count: int, path: Path, photographs: Path | None) -> None:
    """Detailed JPEGs of 4000x3000, as a camera would write them: enlarged photographs or landscapes, with grain."""
    with zipfile.ZipFile(path, "w") as archive:
        for index, scene in enumerate(_scenes(count, photographs)):
            grain = np.random.RandomState(index).normal(0, 8, (3000, 4000, 1)).astype(np.float32)
            large = np.asarray(scene.resize((4000, 3000), Image.Resampling.BICUBIC), np.float32)
            pixels = np.clip(large + grain, 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
            archive.writestr(f"{index:04d}.jpg", buffer.getvalue())


def _scenes(count: int, photographs: Path | None) -> Iterator[Image.Image]:
    if photographs is None:
        from sgkit.store.landscapes.sample import landscape

        yield from (Image.fromarray(landscape(index, size=(750, 1000))[0]) for index in range(count))
        return
    with zipfile.ZipFile(photographs) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png")))
        for name in names[:: max(len(names) // count, 1)][:count]:
            yield Image.open(io.BytesIO(archive.read(name))).convert("RGB")


def subset(source: Path, count: int, folder: Path) -> int:
    """Copy the first pictures of a zip to ``part.zip`` and, for tools that want one, to a folder ``part/all``."""
    (folder / "part" / "all").mkdir(parents=True)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(folder / "part.zip", "w") as out:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png")))[:count]
        for number, name in enumerate(names):
            data = archive.read(name)
            out.writestr(name, data)
            (folder / "part" / "all" / f"{number:06d}.jpg").write_bytes(data)
    return len(names)


def bench_prepare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.images
        if options.large:
            source = folder / "large.zip"
            large_jpegs(options.large, source, options.images)
        count = subset(source, options.count, folder)
        zipped, size = str(folder / "part.zip"), str(options.size)
        runs: dict[str, tuple[list[str], Path | None]] = {
            label: ([sys.executable, "-c", BARE, zipped, "OUT", size, repr(png)], None)
            for label, png in (("bare Pillow", {}), ("bare Pillow, sgkit's PNG", PNG_SETTINGS))
        }
        script = folder / "ours.py"
        script.write_text(OURS)
        for workers in (1, 2):
            for how in ("png", "exact", "raw") if options.large else ("png", "raw"):
                label = f"sgkit, {workers} worker{'s'[: workers - 1]}, {how}"
                runs[label] = ([sys.executable, str(script), zipped, "OUT", size, str(workers), how], None)
        if options.ada:
            command = [options.peer_python, "dataset_tool.py", "--source", str(folder / "part"), "--dest", "OUT"]
            command += ["--width", size, "--height", size, "--transform", "center-crop", "--resize-filter", "lanczos"]
            runs["dataset_tool (ADA)"] = (command, options.ada)
        if options.rosinality:
            command = [options.peer_python, "prepare_data.py", "--out", "OUT", "--size", size, "--n_worker", "2"]
            runs["prepare_data (2, JPEG)"] = ([*command, str(folder / "part")], options.rosinality)
        measured: dict[str, list[Measured]] = {label: [] for label in runs}
        for round_number in range(options.rounds):
            for label, (command, cwd) in runs.items():
                out = folder / f"out-{round_number}-{len(measured[label])}-{abs(hash(label))}"
                measured[label].append(Measured([str(out) if word == "OUT" else word for word in command], cwd))
        print(f"{count} images to {size}x{size}, PNG, lanczos; medians of {options.rounds} rounds")
        base = statistics.median(m.seconds for m in measured["bare Pillow"])
        print(f"{'':32}{'images/s':>10}{'x bare':>8}{'cpu s':>8}{'peak MiB':>10}")
        for label, found in measured.items():
            seconds = statistics.median(m.seconds for m in found)
            cpu, peak = statistics.median(m.cpu for m in found), max(m.peak for m in found)
            print(f"{label:32}{count / seconds:10.1f}{base / seconds:8.2f}{cpu:8.1f}{peak:10.0f}")


def bench_memory(options: argparse.Namespace) -> None:
    """Peak memory for 1,000 and for 50,000 files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = subset(options.images, 1000, folder)
        script = folder / "ours.py"
        script.write_text(OURS)
        for total in (1000, 10000, 50000):
            names = [f"part/all/{number % count:06d}.jpg" for number in range(total)]
            (folder / f"{total}.txt").write_text("\n".join(names))
            out = folder / f"out{total}"
            found = Measured([sys.executable, str(script), str(folder / f"{total}.txt"), str(out), "32", "2", "png"])
            print(f"{total:6} files: peak {found.peak:.0f} MiB, {total / found.seconds:.0f} images/s")


def bench_reader(options: argparse.Namespace) -> None:
    """Images per second of ``StoreDataset``."""
    from sgkit.store import StoreDataset, batches
    from sgkit.tasks.prepare import PrepareOptions, prepare

    with tempfile.TemporaryDirectory() as name:
        for side in (64, 256):
            datasets = {}
            for encoding in ("raw", "png"):
                out = Path(name) / f"{encoding}{side}"
                settings = PrepareOptions.from_dict({"size": (side, side), "encoding": encoding})
                prepare(f"sample:landscapes?count={options.count}", out, options=settings)
                datasets[encoding] = StoreDataset(out)
            for workers in (0, 1, 2):
                rates: dict[str, list[float]] = {encoding: [] for encoding in datasets}
                streams = {e: batches(d, batch=64, seed=0, num_workers=workers) for e, d in datasets.items()}
                for stream in streams.values():
                    _images_per_second(stream, 6)  # processes are up, pages are in memory
                for _ in range(options.rounds):
                    for encoding, stream in streams.items():
                        rates[encoding].append(_images_per_second(stream, 60 if encoding == "raw" else 6))
                raw, png = (statistics.median(rates[encoding]) for encoding in ("raw", "png"))
                print(f"{side:4} px, {workers} workers: raw {raw:9.0f}/s  png {png:8.0f}/s  {raw / png:5.1f}x")


def _images_per_second(stream: Iterator[Batch], count: int) -> float:
    start = time.perf_counter()
    images = sum(len(next(stream)) for _ in range(count))
    return images / (time.perf_counter() - start)


def _shrink(picture: tuple[int, int], *, size: tuple[int, int], margin: float) -> float:
    from sgkit.store.images.crops import crop_boxes, parse_crop, shrink_fraction

    return shrink_fraction(crop_boxes(parse_crop("center"), picture, size), size, margin=margin)


def bench_decoding(options: argparse.Namespace) -> None:
    """What scaled decoding of large JPEGs changes: the difference to full decoding, in grey levels."""
    from sgkit.store.images.crops import crop_boxes, cut, parse_crop
    from sgkit.store.images.decoding import decode_image, open_picture

    with tempfile.TemporaryDirectory() as name:
        path = options.images
        if options.large or path is None:
            path = Path(name) / "large.zip"
            large_jpegs(options.large or 8, path, options.images)
        with zipfile.ZipFile(path) as archive:
            files = [archive.read(n) for n in sorted(archive.namelist()) if n.lower().endswith(".jpg")]
            files = files[:: max(len(files) // options.count, 1)][: options.count]
    size = (options.size, options.size)
    for margin in (1.0, 2.0, 2.5, 3.0, 4.0):
        differences, seconds = [], 0.0
        for data in files:
            pictures = []
            for scaled in (False, True):
                start = time.process_time()
                shrink = partial(_shrink, size=size, margin=margin) if scaled else None
                image = decode_image(open_picture(data, max_pixels=10**9), channels=3, shrink=shrink)
                (box,) = crop_boxes(parse_crop("center"), image.size, size)
                pictures.append(np.asarray(cut(image, box, size, filter_name="lanczos"), np.float32))
                seconds += (time.process_time() - start) * (1 if scaled else 0)
            differences.append(np.abs(pictures[0] - pictures[1]))
        worst = max(float(d.max()) for d in differences)
        mean = statistics.mean(float(d.mean()) for d in differences)
        squared = statistics.mean(float((d**2).mean()) for d in differences)
        psnr = 10 * np.log10(255**2 / max(squared, 1e-12))
        print(
            f"margin {margin:g}: mean {mean:.3f}, largest {worst:.0f}, PSNR {psnr:.1f} dB, "
            f"{seconds / len(files) * 1e3:.0f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "memory", "reader", "decoding"])
    parser.add_argument("--images", type=Path, help="a zip file of JPEGs")
    parser.add_argument("--large", type=int, default=0, help="so many JPEGs of 4000x3000 instead, made of --images")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ada", type=Path, help="folder of NVIDIA's stylegan2-ada-pytorch")
    parser.add_argument("--rosinality", type=Path, help="folder of rosinality's stylegan2-pytorch")
    parser.add_argument("--peer-python", default=sys.executable)
    options = parser.parse_args()
    if options.what in ("prepare", "memory") and not (options.images or options.large):
        parser.error("give --images ZIP or --large N")
    benches = {"prepare": bench_prepare, "memory": bench_memory, "reader": bench_reader, "decoding": bench_decoding}
    benches[options.what](options)


if __name__ == "__main__":
    main()
