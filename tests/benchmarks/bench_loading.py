"""Times opening a StyleGAN2 config F model of 1024 px with its three networks, from every form of file, and its memory.

    python -m tests.benchmarks.bench_loading [--folder DIR] [--size 1024] [--cold]

The files are written once, with random weights, into a folder that needs 2 GB. Each is then opened in a process of its
own, which prints seconds, processor time, and the growth of its memory at the peak, all relative to the tensors' bytes.
Native files are mapped and not read before they are used, so a line of its own reads every value once. ``--cold`` drops
the files from the system's page cache first, so that the disk is measured as well.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

CHANNEL_BASE = 32768


class _Module:
    """A module as NVIDIA's tools pickle it: a call of a function by name, with a table."""

    def __init__(self, state: dict[str, Any], name: str) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": "", "class_name": name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def write_files(folder: Path, size: int) -> dict[str, Path]:
    """The files, by form; those that are there already are kept."""
    from sgkit.checkpoint import save
    from sgkit.checkpoint.export import export
    from sgkit.config import ModelConfig
    from sgkit.model import build

    names = (
        "native.safetensors",
        "nvidia.npz",
        "nvidia.safetensors",
        "nvidia.pkl",
        "rosinality.pt",
        "rosinality-old.pt",
    )
    files = {name: folder / name for name in names}
    if all(file.exists() for file in files.values()):
        return files
    model = build(ModelConfig(image_size=(size, size)), seed=0)
    save(model, files["native.safetensors"])
    for name in ("nvidia.npz", "nvidia.safetensors", "rosinality.pt"):
        files[name].unlink(missing_ok=True)
        export(model, files[name], form=name.partition(".")[0])
    old = torch.load(files["rosinality.pt"], weights_only=True)
    torch.save(old, files["rosinality-old.pt"], _use_new_zipfile_serialization=False)
    with np.load(files["nvidia.npz"]) as arrays:
        _write_nvidia_pickle(files["nvidia.pkl"], model.config, {name: arrays[name] for name in arrays.files})
    return files


def _write_nvidia_pickle(path: Path, config: Any, arrays: dict[str, Any]) -> None:
    """A snapshot as stylegan2-ada-pytorch writes it, without its code."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None: ...

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    sys.modules["torch_utils"], sys.modules[module.__name__] = types.ModuleType("torch_utils"), module
    common = {"c_dim": 0, "img_resolution": config.image_size[0], "img_channels": 3}
    generator = {**common, "z_dim": config.z_dim, "w_dim": config.w_dim, "synthesis_kwargs": {}, "mapping_kwargs": {}}
    snapshot = {
        "G": _network("Generator", generator, arrays, "G."),
        "D": _network("Discriminator", common, arrays, "D."),
        "G_ema": _network("Generator", generator, arrays, "G_ema."),
    }
    with path.open("wb") as file:
        pickle.dump(snapshot, file, protocol=4)


def _network(name: str, options: dict[str, Any], arrays: dict[str, Any], prefix: str) -> _Module:
    own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    common = {"activation": "lrelu", "architecture": "resnet" if name == "Discriminator" else "skip"}
    common |= {"conv_clamp": None, "use_noise": True, "num_layers": 8, "w_avg_beta": 0.998, "bias_gain": 0.01}
    network = _tree(own, name, {**common, "num_channels": 1, "group_size": 4})
    network.meta["state"]["_init_kwargs"] = options
    return network


def _tree(arrays: dict[str, Any], name: str, attributes: dict[str, Any]) -> _Module:
    """Modules from dotted names; every one has all the attributes, of which the reader takes those it wants."""
    parts: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        head, _, rest = key.partition(".")
        parts.setdefault(head, {})[rest] = array
    modules = {head: _tree(inner, head, attributes) for head, inner in parts.items() if "" not in inner}
    if "out" in parts:
        modules["mbstd"] = _tree({}, "mbstd", attributes)
    own = {head: torch.from_numpy(inner[""]) for head, inner in parts.items() if "" in inner}
    return _Module({"_parameters": own, "_buffers": {}, "_modules": modules, **attributes}, name)


# ---------------------------------------------------------------------------------------------- measuring


def _memory(field: str) -> int:
    """Bytes of a field of the process's status, such as ``VmHWM``, the peak of its resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit("This system does not tell how much memory a process has.")


def measure(file: Path, what: str) -> dict[str, float]:
    """Seconds, processor time, memory of opening one file, in this process."""
    import sgkit
    from sgkit.tasks.info import info

    fixture = Path(__file__).resolve().parents[1] / "fixtures"
    sgkit.load(fixture / "ada_filter_edge16" / "network-snapshot-000123.pkl")  # imports all that loading needs
    sgkit.load(fixture / "rosi_sg2_converted32" / "stylegan2-example.pt")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, own_before = _memory("VmRSS"), _memory("RssAnon")
    start, cpu = time.perf_counter(), time.process_time()
    if what == "info":
        info(file)
        num_bytes = 0
    else:
        model = sgkit.load(file)
        tensors = [tensor for network in model.networks().values() for tensor in network.state_dict().values()]
        num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if what == "read":
            for tensor in tensors:
                tensor.sum()
    return {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "peak": _memory("VmHWM") - before,
        "own": _memory("RssAnon") - own_before,
        "tensors": num_bytes,
    }


def forget(file: Path) -> None:
    """Drop a file from the page cache."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the files are or shall be; left out: a temporary one")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--cold", action="store_true", help="drop each file from the page cache before it is opened")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = write_files(folder, options.size)
        print(f"config F, {options.size} px, G, G_ema and D; {'cold' if options.cold else 'warm'} page cache")
        titles = ("MB", "what", "seconds", "cpu", "peak MB", "kept MB", "peak/tensors")
        print("{:<22} {:>6} {:>5} {:>8} {:>6} {:>8} {:>8} {:>13}".format("file", *titles))
        for name, file in files.items():
            for what in ("info", "load", "read") if name.startswith("native") else ("load",):
                show(name, file, what, rounds=options.rounds, cold=options.cold)


def show(name: str, file: Path, what: str, *, rounds: int, cold: bool) -> None:
    """A line of the table."""
    results = []
    for _ in range(rounds):
        if cold:
            forget(file)
        command = [sys.executable, __file__, "--measure", str(file), what]
        results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    best = min(results, key=lambda result: result["seconds"])
    ratio = f"{best['peak'] / best['tensors']:.2f}" if best["tensors"] else "-"
    print(
        f"{name:<22} {file.stat().st_size / 1e6:6.0f} {what:>5} {best['seconds']:8.3f} {best['cpu']:6.2f} "
        f"{best['peak'] / 1e6:8.1f} {best['own'] / 1e6:8.1f} {ratio:>13}",
        flush=True,
    )


if __name__ == "__main__":
    main()
