"""Files in the shapes that circulate, made from the fixtures: what each is, how it is made, and what becomes of it.

The table in docs/checkpoints.md is :func:`markdown` of :data:`ROWS`; a test compares them and opens every file.
"""

from __future__ import annotations

import bz2
import collections
import datetime
import gzip
import io
import lzma
import pickle
import re
import shutil
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

import sgkit
from sgkit.checkpoint.export import export
from sgkit.checkpoint.foreign import read_foreign

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
TRAINED = FIXTURES / "rosi_sg2_train64" / "010000.pt"
CONVERTED = FIXTURES / "rosi_sg2_converted32" / "stylegan2-example.pt"
NVIDIA = FIXTURES / "ada_cond32" / "network-snapshot-000123.pkl"
State = dict[str, Any]
Maker = Callable[[Path], Path]


@dataclass(frozen=True)
class Row:
    """One shape of file."""

    what: str
    """For the table in the documentation."""
    make: Callable[[Path], Path]
    """Writes the file into a folder and gives its path."""
    networks: str = ""
    """Opened: the networks found, and where, as ``generator at state_dict.decoder``."""
    refused: str = ""
    """Refused: what the message must say (a regular expression)."""
    because: str = ""
    """Refused: the reason, for the table."""
    warns: str = ""
    """Opened: what a warning must say (a regular expression)."""


def trained() -> State:
    """rosinality's training file."""
    return torch.load(TRAINED, map_location="cpu", weights_only=False)


def ema() -> State:
    """Its averaged generator."""
    return dict(trained()["g_ema"])


def saved(name: str, build: Callable[[], Any], **options: Any) -> Maker:
    """Writes what ``build`` gives by ``torch.save``."""

    def make(folder: Path) -> Path:
        torch.save(build(), folder / name, **options)
        return folder / name

    return make


def g_ema(change: Callable[[str, Any], Any] = lambda _, value: value, drop: str = "", **others: Any) -> Maker:
    """Writes rosinality's averaged generator as ``g_ema``: tensors changed, or dropped by name; with other entries."""

    def build() -> State:
        return {"g_ema": {key: change(key, value) for key, value in without(ema(), drop).items()}} | others

    return saved("a.pt", build)


def copied(source: Path, name: str) -> Maker:
    """A copy under another name."""
    return lambda folder: Path(shutil.copy(source, folder / name))


def written(name: str, data: Callable[[], bytes]) -> Maker:
    """A file of these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data())
        return folder / name

    return make


def under(prefix: str, state: State) -> State:
    """A state dict with a prefix before every name."""
    return {prefix + name: value for name, value in state.items()}


def without(state: State, pattern: str) -> State:
    """A state dict without the tensors whose names match."""
    return {name: value for name, value in state.items() if not pattern or not re.search(pattern, name)}


def encoder_file() -> State:
    """What pSp, e4e and ReStyle save: encoder and decoder under one key, the mean w repeated for every layer."""
    state = under("decoder.", ema()) | {"encoder.input_layer.0.weight": torch.zeros(8, 3, 3, 3)}
    return {"state_dict": state, "latent_avg": torch.arange(32.0).repeat(10, 1), "opts": {"stylegan_size": 64}}


def lightning_file() -> State:
    """What PyTorch Lightning saves."""
    file = trained()
    state = under("generator.", file["g"]) | under("generator_ema.", file["g_ema"]) | under("discriminator.", file["d"])
    return {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.0", "state_dict": state}


def mmgeneration(name: str) -> str:
    """rosinality's name of a generator's tensor as MMGeneration has it."""
    name = re.sub(r"^style\.(\d+)\.weight$", r"style_mapping.\1.linear.weight_orig", name)
    name = re.sub(r"^style\.(\d+)\.bias$", r"style_mapping.\1.bias", name)
    name = name.replace("input.input", "constant_input.input").replace(".noise.weight", ".noise_injector.weight")
    name = name.replace(".modulation.weight", ".style_modulation.linear.weight_orig")
    name = name.replace(".modulation.bias", ".style_modulation.bias")
    name = re.sub(r"\.conv\.weight$", ".conv.weight_orig", name)
    return re.sub(r"^noises\.noise_", "injected_noise_", name)


def mmgeneration_d(name: str) -> str:
    """The same for a discriminator."""
    name = re.sub(r"^(final_linear\.\d)\.weight$", r"\1.linear.weight_orig", name)
    return re.sub(r"(\d)\.weight$", r"\1.conv.weight_orig", name)


def mmgeneration_file() -> State:
    """What MMGeneration saves."""
    file = trained()
    state = {f"generator.{mmgeneration(k)}": v for k, v in file["g"].items()}
    state |= {f"generator_ema.{mmgeneration(k)}": v for k, v in file["g_ema"].items()}
    state |= {f"discriminator.{mmgeneration_d(k)}": v for k, v in file["d"].items()}
    return {"meta": {"mmgen_version": "0.7.1", "epoch": 1, "iter": 10}, "state_dict": state}


def basicsr(name: str) -> str:
    """rosinality's name of a generator's tensor as BasicSR has it."""
    name = re.sub(r"^(conv1|convs\.\d+)\.noise\.weight$", r"style_\1.weight", name)
    name = re.sub(r"^(conv1|convs\.\d+)\.conv\.", r"style_\1.modulated_conv.", name)
    name = re.sub(r"^(conv1|convs\.\d+)\.activate", r"style_\1.activate", name)
    name = re.sub(r"^(to_rgb1|to_rgbs\.\d+)\.conv\.", r"\1.modulated_conv.", name)
    name = re.sub(r"^style\.(\d+)", r"style_mlp.\1", name).replace("input.input", "constant_input.weight")
    return re.sub(r"^noises\.noise_", "noises.noise", name)


def basicsr_file() -> State:
    """What BasicSR saves of a generator: its filters are no buffers."""
    return {"params_ema": {basicsr(k): v for k, v in without(ema(), r"\.kernel$").items()}}


def safetensors_bytes(state: State) -> bytes:
    """A ``.safetensors`` file without any metadata."""
    return safetensors.torch.save({name: value.contiguous() for name, value in state.items()})


def npz_bytes(state: State) -> bytes:
    """An ``.npz`` of these tensors."""
    stream = io.BytesIO()
    np.savez(stream, **{name: value.numpy() for name, value in state.items()})
    return stream.getvalue()


def halved(name: str, value: torch.Tensor) -> torch.Tensor:
    """The constant and the noise maps of a network for images half as wide."""
    return value[..., : value.shape[-1] // 2].clone() if name.startswith(("input.", "noises.")) else value


def swagan() -> State:
    """A generator that writes wavelet coefficients."""
    state = ema()
    for name in [name for name in state if re.match(r"to_rgb", name) and not name.endswith("kernel")]:
        if name.endswith("conv.weight"):
            state[name] = state[name].repeat(1, 4, 1, 1, 1)
        elif name.endswith(".bias") and state[name].ndim == 4:
            state[name] = state[name].repeat(1, 4, 1, 1)
    return {"g_ema": state}


# ---------------------------------------------------------------------------------------- NVIDIA's pickles


class Module:
    """Stands for a module of NVIDIA's: pickled as NVIDIA's tools pickle it."""

    def __init__(self, meta: State) -> None:
        self.meta = meta

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)

    @property
    def state(self) -> State:
        """The attributes of the module."""
        return self.meta["state"]


@contextmanager
def nvidia_modules() -> Iterator[None]:
    """Within the block, the modules that NVIDIA's pickles name can be imported; they run nothing."""
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")

    def reconstruct(meta: State) -> Module:
        return Module(meta)

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    reconstruct.__qualname__ = reconstruct.__name__ = "_reconstruct_persistent_obj"
    reconstruct.__module__ = "torch_utils.persistence"
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    persistence._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    util.EasyDict = EasyDict  # type: ignore[attr-defined]
    names = {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": persistence}
    names |= {"dnnlib": types.ModuleType("dnnlib"), "dnnlib.util": util}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def repickled(name: str, change: Callable[[State], Any], *, as_torch: bool = False) -> Maker:
    """NVIDIA's fixture, changed, pickled again; or saved by ``torch.save``, as PTI does."""

    def make(folder: Path) -> Path:
        with nvidia_modules():
            value = change(pickle.loads(NVIDIA.read_bytes()))
            if as_torch:
                torch.save(value, folder / name)
            else:
                (folder / name).write_bytes(pickle.dumps(value))
        return folder / name

    return make


def nvidia_state_dicts(case: str) -> State:
    """The networks of one of NVIDIA's fixtures as plain state dicts."""
    file = next(path for path in sorted((FIXTURES / case).iterdir()) if path.suffix == ".pkl")
    networks = read_foreign(file).networks
    return {
        name: {key: torch.from_numpy(np.array(array)) for key, array in network.tensors.items()}
        for name, network in networks.items()
    }


def broken_d(file: State) -> State:
    """NVIDIA's file whose discriminator lacks a tensor."""
    del file["D"].state["_modules"]["b8"].state["_modules"]["conv1"].state["_parameters"]["weight"]
    return file


# ------------------------------------------------------------------------------------------ other files


def zipped(*names: str) -> Maker:
    """A zip archive with NVIDIA's pickle under each of these names, compressed."""

    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "net.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(NVIDIA, name)
        return folder / "net.zip"

    return make


def exported(name: str, form: str | None = None) -> Maker:
    """The fixture as sgkit writes it."""

    def make(folder: Path) -> Path:
        export(sgkit.load(NVIDIA), folder / name, form=form)
        return folder / name

    return make


def picture() -> bytes:
    """A JPEG image."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


def folder_of(*names: str) -> Maker:
    """A folder with these files."""

    def make(folder: Path) -> Path:
        for name in names:
            (folder / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "folder" / name).write_bytes(picture())
        return folder / "folder"

    return make


ALL = "generator, raw_generator, discriminator"
MEAN = "no mean w"

ROWS: dict[str, Row] = {
    # rosinality's StyleGAN2 and what is made of it
    "training": Row("rosinality's training file (`g`, `d`, `g_ema`, optimisers, `args`)", copied(TRAINED, "a.pt"), ALL),
    "converted": Row("converted from TensorFlow (`g_ema`, `latent_avg`)", copied(CONVERTED, "a.pt"), ALL),
    "g_ema": Row("`g_ema` alone", g_ema(), "generator at g_ema", warns=MEAN),
    "bare": Row("a bare state dict", saved("a.pth", ema), "generator at the file itself"),
    "module": Row(
        "`module.` before every name (DataParallel)",
        saved("a.pt", lambda: {key: under("module.", trained()[key]) for key in ("g", "d", "g_ema")}),
        ALL,
    ),
    "bare module": Row(
        "a bare state dict with `module.`", saved("a.pt", lambda: under("module.", ema())), "generator at module"
    ),
    "compiled": Row(
        "`_orig_mod.` before every name (torch.compile)",
        saved("a.pt", lambda: {"g_ema": under("_orig_mod.", ema())}),
        "generator at g_ema._orig_mod",
    ),
    "g": Row(
        "`g` alone (JoJoGAN, FreezeG)",
        saved("a.pt", lambda: {"g": trained()["g"], "g_optim": {}}),
        "generator, raw_generator at g",
        warns="no moving average",
    ),
    "encoder": Row(
        "pSp, e4e, ReStyle (`state_dict` with `decoder.*` and `encoder.*`, `latent_avg`, `opts`)",
        saved("e4e.pt", encoder_file),
        "generator at state_dict.decoder",
        warns=r"ignored.*state_dict\.encoder \(1 tensor\)",
    ),
    "params_ema": Row("`params_ema`", saved("a.pth", lambda: {"params_ema": ema()}), "generator at params_ema"),
    "params": Row("`params`", saved("a.pth", lambda: {"params": ema()}), "generator at params"),
    "G_ema": Row(
        "`G_ema` and `G`", saved("a.pt", lambda: {"G": ema(), "G_ema": ema()}), "generator, raw_generator at G_ema"
    ),
    "generator": Row(
        "`generator` alone", saved("a.pt", lambda: {"generator": ema()}), "generator, raw_generator at generator"
    ),
    "netG": Row("`netG` alone", saved("a.pt", lambda: {"netG": ema()}), "generator, raw_generator at netG"),
    "nested": Row(
        "one level deeper (`model`, `ema`)", saved("a.pt", lambda: {"model": {"ema": ema()}}), "generator at model.ema"
    ),
    "lightning": Row(
        "PyTorch Lightning (`state_dict` with `generator.*`, `generator_ema.*`, `discriminator.*`)",
        saved("epoch=3.ckpt", lightning_file),
        ALL + " at state_dict.generator_ema",
    ),
    "two averages": Row(
        "two averaged generators: the first is used",
        saved("a.pt", lambda: {"g_ema": ema(), "g_ema2": {}, "ema_0.999": ema()}),
        "generator at g_ema",
        warns=r"ignored.*ema_0\.999 \(generator\)",
    ),
    "no noises": Row("without noise maps", g_ema(drop=r"^noises\."), "generator at g_ema", warns="noise seed 0"),
    "no kernels": Row("without filters", g_ema(drop=r"\.kernel$"), "generator at g_ema"),
    "half": Row("in half precision", g_ema(lambda _, value: value.half()), "generator at g_ema"),
    "bfloat16": Row("in bfloat16", g_ema(lambda _, value: value.bfloat16()), "generator at g_ema"),
    "parameters": Row(
        "tensors as `nn.Parameter`", g_ema(lambda _, value: torch.nn.Parameter(value)), "generator at g_ema"
    ),
    "legacy": Row(
        "the format before torch 1.6",
        saved("a.pt", lambda: {"g_ema": ema()}, _use_new_zipfile_serialization=False),
        "generator at g_ema",
    ),
    "no args": Row("`args` None, `iter`", g_ema(args=None, iter=9), "generator at g_ema"),
    "extra": Row(
        "with one unknown tensor",
        saved("a.pt", lambda: {"g_ema": {**ema(), "foo.bar": torch.zeros(3)}}),
        "generator at g_ema",
        warns=r"ignored.*g_ema\.foo\.bar",
    ),
    "incomplete d": Row(
        "with an incomplete discriminator",
        saved("a.pt", lambda: {"g_ema": ema(), "d": without(trained()["d"], r"final_linear\.1\.bias")}),
        "generator at g_ema",
        warns=r"the discriminator was left out.*final_linear\.1\.bias",
    ),
    "other d": Row(
        "with a discriminator of another size",
        saved("a.pt", lambda: {"g_ema": ema(), "d": without(trained()["d"], r"^convs\.4\.")}),
        "generator at g_ema",
        warns="the discriminator was left out",
    ),
    "other mean": Row(
        "`latent_avg` of another model",
        g_ema(latent_avg=torch.zeros(512)),
        "generator at g_ema",
        warns=r"ignored.*latent_avg of shape \[512\]",
    ),
    "nan": Row(
        "with NaN weights (`sgkit info` warns; generating is an error)",
        g_ema(lambda name, value: value * torch.nan if name == "input.input" else value),
        "generator at g_ema",
    ),
    "safetensors": Row(
        "a state dict as `.safetensors`, bare or under any prefix",
        written("a.safetensors", lambda: safetensors_bytes(under("g_ema.", ema()))),
        "generator at g_ema",
    ),
    "bfloat16 safetensors": Row(
        "the same in bfloat16",
        written("a.safetensors", lambda: safetensors_bytes({k: v.bfloat16() for k, v in ema().items()})),
        "generator at the file itself",
    ),
    "arrays": Row("a state dict as `.npz`", written("a.npz", lambda: npz_bytes(ema())), "generator at the file itself"),
    "renamed npz": Row(
        "the same without extension", written("a", lambda: npz_bytes(ema())), "generator at the file itself"
    ),
    "latents npz": Row(
        "latents as `.npz`",
        written("a.npz", lambda: npz_bytes({"w": torch.zeros(1, 10, 32)})),
        refused="holds latents, not a model.*--latent",
        because="says how to generate from it",
    ),
    "numpy": Row(
        "a pickle with NumPy arrays instead of tensors",
        written("a.pkl", lambda: pickle.dumps({"g_ema": {k: v.numpy() for k, v in ema().items()}})),
        "generator at g_ema",
    ),
    "tuple": Row(
        "a tuple of state dicts", saved("a.pt", lambda: (ema(), trained()["d"])), "generator, discriminator at 0"
    ),
    "options": Row(
        "with options of unusual types (devices, paths, dates, `defaultdict`, `SimpleNamespace`)",
        saved(
            "a.pt",
            lambda: {
                "g_ema": collections.defaultdict(list, ema()),
                "opts": types.SimpleNamespace(device=torch.device("cpu"), path=Path("x"), dtype=torch.float32),
                "when": datetime.date(2020, 1, 1),
                "counts": collections.Counter("ab"),
            },
        ),
        "generator at g_ema",
    ),
    "rectangular": Row("images that are not square (StyleGAN-Human's 1:2)", g_ema(halved), "generator at g_ema"),
    "renamed": Row("any of these, renamed or without extension", copied(TRAINED, "weights"), ALL),
    "missing": Row(
        "with a tensor of the generator missing",
        g_ema(drop=r"^convs\.1\.conv\.weight"),
        refused=r"convs\.1\.conv\.weight is missing",
        because="names the tensor",
    ),
    "swagan": Row(
        "SWAGAN", saved("a.pt", swagan), refused="12 channels.*SWAGAN", because="wavelet layers are not supported"
    ),
    "attention": Row(
        "a changed architecture (attention, labels, LoRA)",
        saved("a.pt", lambda: {"g_ema": {**ema(), "convs.1.attn.weight": torch.zeros(3)}}),
        refused=r"changed architecture.*convs\.1\.attn\.weight",
        because="its extra layers change the images",
    ),
    "discriminator": Row(
        "a discriminator alone",
        saved("a.pt", lambda: {"d": trained()["d"]}),
        refused="no generator, only d",
        because="there is nothing to generate from",
    ),
    # other projects
    "mmgeneration": Row(
        "MMGeneration (`generator_ema.*`)",
        saved("iter_10.pth", mmgeneration_file),
        ALL + " at state_dict.generator_ema",
    ),
    "basicsr": Row("BasicSR (`params_ema`)", saved("a.pth", basicsr_file), "generator at params_ema"),
    "stylegan1": Row(
        "rosinality's StyleGAN (`train_step-4.model`)",
        copied(FIXTURES / "rosi_sg1_32" / "train_step-4.model", "train_step-4.model"),
        ALL,
        warns="no mean w",
    ),
    "sizeless stylegan1": Row(
        "the same, renamed",
        copied(FIXTURES / "rosi_sg1_32" / "train_step-4.model", "a.model"),
        refused="--size",
        because="it does not say which size was trained; opened with `--size`",
    ),
    "lucidrains": Row(
        "lucidrains' stylegan2_pytorch",
        copied(FIXTURES / "luci_32" / "model_3.pt", "model_3.pt"),
        refused="lucidrains' networks are a different architecture",
        because="a different architecture",
    ),
    "lucidrains bare": Row(
        "the same, its state dict alone",
        saved("a.pt", lambda: torch.load(FIXTURES / "luci_32" / "model_3.pt", weights_only=False)["GAN"]),
        refused="lucidrains' networks are a different architecture",
        because="a different architecture",
    ),
    "unknown": Row(
        "another network (here: a ResNet)",
        saved("a.pt", lambda: {"state_dict": {"layer1.0.conv1.weight": torch.zeros(2, 2, 3, 3)}}),
        refused="no network of a known project",
        because="lists what it holds and what is known",
    ),
    "latents": Row(
        "latents (rosinality's projector)",
        saved("a.pt", lambda: {"me.png": {"latent": torch.zeros(10, 32), "noise": []}}),
        refused="holds latents, not a model",
        because="says how to generate from it",
    ),
    # NVIDIA
    "nvidia": Row("NVIDIA's snapshot `.pkl` (StyleGAN2-ADA, StyleGAN3)", copied(NVIDIA, "a.pkl"), ALL),
    "G_ema pickle": Row(
        "`G_ema` alone in a pickle", repickled("a.pkl", lambda file: {"G_ema": file["G_ema"]}), "generator"
    ),
    "nvidia incomplete d": Row(
        "with an incomplete discriminator",
        repickled("a.pkl", broken_d),
        "generator, raw_generator",
        warns=r"the discriminator was left out.*b8\.conv1\.weight",
    ),
    "pti": Row(
        "PTI (the generator, written by `torch.save`)",
        repickled("model_ABC_multi.pt", lambda file: file["G_ema"], as_torch=True),
        "generator",
    ),
    "nvidia state dict": Row(
        "a state dict with NVIDIA's names (`G_ema`, `G`, `D`)",
        saved("a.pt", lambda: nvidia_state_dicts("ada_cond32")),
        ALL + " at G_ema",
        warns="weights only",
    ),
    "nvidia no mean": Row(
        "the same with labels, without `w_avg`",
        saved("a.pt", lambda: {"G_ema": without(nvidia_state_dicts("ada_cond32")["G_ema"], r"w_avg$")}),
        refused="no mean w, which a conditional generator needs",
        because="truncation needs it, and it depends on the classes",
    ),
    "stylegan3 encoder": Row(
        "pSp and ReStyle for StyleGAN3 (`state_dict` with `decoder.*`)",
        saved("a.pt", lambda: {"state_dict": under("decoder.", nvidia_state_dicts("sg3_t64")["G_ema"])}),
        "generator at state_dict.decoder",
        warns="weights only",
    ),
    "tf2": Row(
        "TensorFlow StyleGAN2 `.pkl`", copied(FIXTURES / "tf_sg2_Gskip_Dresnet32" / "network-final.pkl", "a.pkl"), ALL
    ),
    "tf1": Row("TensorFlow StyleGAN `.pkl`", copied(FIXTURES / "tf_sg1_32" / "network-final.pkl", "a.pkl"), ALL),
    "progan": Row("TensorFlow ProGAN `.pkl`", copied(FIXTURES / "tf_pg32" / "network-final.pkl", "a.pkl"), ALL),
    "malicious": Row(
        "a pickle that runs a command",
        copied(FIXTURES / "malicious" / "os_system.pkl", "a.pkl"),
        refused="nothing of it was run",
        because="names what it tried to reach; nothing runs",
    ),
    # sgkit's own
    "native": Row("sgkit's `.safetensors`", exported("a.safetensors"), ALL),
    "npz": Row("NVIDIA's tensor names as `.npz`, by `sgkit convert`", exported("a.npz"), ALL),
    "nvidia safetensors": Row("the same as `.safetensors`", exported("a.safetensors", "nvidia"), ALL),
    # packed
    "zip": Row("a zip archive around one checkpoint", zipped("ffhq/net.pkl", "readme.txt"), ALL),
    "gzip": Row("`.pkl.gz`", written("a.pkl.gz", lambda: gzip.compress(NVIDIA.read_bytes())), ALL),
    "bzip2": Row("`.pkl.bz2`", written("a.pkl.bz2", lambda: bz2.compress(NVIDIA.read_bytes())), ALL),
    "xz": Row("`.pkl.xz`", written("a.pkl.xz", lambda: lzma.compress(NVIDIA.read_bytes())), ALL),
    "two in a zip": Row(
        "a zip archive of several checkpoints",
        zipped("a.pkl", "b.pkl"),
        refused=r"holds 2 checkpoints \(a\.pkl, b\.pkl\)",
        because="names them",
    ),
    "bomb": Row(
        "a compressed file that unpacks to over 32 times its size",
        written("a.pkl.gz", lambda: gzip.compress(NVIDIA.read_bytes() + bytes(1 << 26))),
        refused="unpacks to more than",
        because="no checkpoint does",
    ),
    "tar": Row(
        "a tar archive",
        written("a.tar", lambda: bytes(257) + b"ustar\0" + bytes(1024)),
        refused="a tar archive. Unpack it: tar xf",
        because="says how to unpack it",
    ),
    # no models at all
    "page": Row(
        "a web page instead of the file (the download needed a click)",
        written("a.pkl", lambda: b"<!DOCTYPE html><html>Google Drive - Virus scan warning"),
        refused="a web page",
        because="says how to download the file itself",
    ),
    "lfs": Row(
        "a Git LFS pointer",
        written("a.pt", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"),
        refused="git lfs pull",
        because="says how to get the file",
    ),
    "404": Row(
        "an error text instead of the file",
        written("a.pkl", lambda: b"404: Not Found"),
        refused="begins '404: Not Found'",
        because="shows its first line",
    ),
    "empty": Row("an empty file", written("a.pt", bytes), refused="empty file", because="the download failed"),
    "cut": Row(
        "a file cut short",
        written("a.pt", lambda: TRAINED.read_bytes()[: TRAINED.stat().st_size // 2]),
        refused="damaged or cut short",
        because="says so",
    ),
    "jpeg": Row(
        "an image",
        written("me.pkl", picture),
        refused="is a JPEG image.*sgkit project",
        because="says how to project it",
    ),
    "store": Row(
        "an image store",
        folder_of("header.json", "data.mdb"),
        refused="an image store.*sgkit train",
        because="says how to train on it",
    ),
    "photos": Row(
        "a folder of photos",
        folder_of("a.jpg", "b.jpg"),
        refused="a folder of images.*sgkit prepare",
        because="says how to prepare it",
    ),
    "folder": Row(
        "a folder with several model files",
        folder_of("a.pkl", "b.pkl"),
        refused=r"They are: a\.pkl, b\.pkl",
        because="names them",
    ),
    "hdf5": Row(
        "Keras (`.h5`)",
        written("a.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(64)),
        refused="Keras models cannot be read",
        because="not a PyTorch or NVIDIA checkpoint",
    ),
    "array": Row(
        "a NumPy array",
        written("a.npy", lambda: b"\x93NUMPY" + bytes(64)),
        refused="a NumPy array.*--latent",
        because="says how to use latents",
    ),
}


def markdown() -> str:
    """The table for the documentation."""
    lines = ["| file | opened? |", "|---|---|"]
    for row in ROWS.values():
        if row.refused:
            lines.append(f"| {row.what} | refused: {row.because} |")
            continue
        networks, _, where = row.networks.partition(" at ")
        names = {"raw_generator": "generator as trained"}
        found = ", ".join(names.get(name, name) for name in networks.split(", "))
        place = "" if not where else f", from the {where[4:]}" if where.startswith("the ") else f", from `{where}`"
        note = "; warns" if row.warns else ""
        lines.append(f"| {row.what} | {found}{place}{note} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
