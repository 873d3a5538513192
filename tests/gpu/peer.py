"""stylegan2-ada-pytorch beside us: its networks, training phases and compiled plugins, on this PyTorch.

Its code stays where it is and is not changed. It is of 2021, so a few names of PyTorch that it uses are given their old
meaning while it runs; :func:`adapt` lists them. ``python -m tests.gpu.peer DIR NAME`` compiles one plugin.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.model import Model

PLUGINS = ("upfirdn2d", "bias_act")


def adapt(folder: Path, device: torch.device) -> None:
    """Make the modules of ``folder`` importable, and able to run on this PyTorch.

    - A compiled plugin is entered into ``sys.modules``, from where they take it.
    - Their gradient fixes of convolution and sampling accept this version, and find the operators they ask for:
      ``cudnn_convolution_backward_weight`` is now a part of ``convolution_backward``, and
      ``grid_sampler_2d_backward`` wants to know which gradients are needed.
    """
    if not (folder / "training" / "loss.py").is_file():
        raise SystemExit(f"Not a checkout of stylegan2-ada-pytorch: {folder} has no training/loss.py.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(Path(tempfile.gettempdir()) / "sgkit_peer_plugins"))
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")
    warnings.filterwarnings("ignore")
    _enter_plugins()
    for name in ("conv2d_gradfix", "grid_sample_gradfix"):
        module = importlib.import_module(f"torch_utils.ops.{name}")
        module._should_use_custom_op = _accepts(module)  # type: ignore[attr-defined]
        module.enabled = True  # type: ignore[attr-defined]
    _enter_operators()


def _accepts(module: Any) -> Callable[..., bool]:
    return lambda *inputs: bool(module.enabled) and all(x.device.type == "cuda" or _ON_CPU for x in inputs)


_ON_CPU = False
"""Whether the gradient fixes are used on the CPU too, to see that they work."""


def _enter_plugins() -> None:
    import torch.utils.cpp_extension as extension

    if hasattr(extension.load, "plain"):
        return
    plain = extension.load

    def load(name: str, *arguments: Any, **options: Any) -> Any:
        sys.modules[name] = found = plain(name, *arguments, **options)
        return found

    load.plain = plain  # type: ignore[attr-defined]
    extension.load = load


def _enter_operators() -> None:
    if hasattr(torch._C._jit_get_operation, "plain"):
        return
    plain = torch._C._jit_get_operation

    def operation(name: str) -> Any:
        if name == "aten::cudnn_convolution_backward_weight":
            return lambda *inputs: _weight_gradient(False, *inputs)
        if name == "aten::cudnn_convolution_transpose_backward_weight":
            return lambda *inputs: _weight_gradient(True, *inputs)
        if name == "aten::grid_sampler_2d_backward":
            return lambda *inputs: torch.ops.aten.grid_sampler_2d_backward(*inputs, [True, True])
        return plain(name)

    operation.plain = plain  # type: ignore[attr-defined]
    torch._C._jit_get_operation = operation


def _weight_gradient(
    transposed: bool,
    shape: Any,
    gradient: Tensor,
    images: Tensor,
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    *flags: bool,
) -> Tensor:
    weight = torch.empty(1, dtype=images.dtype, device=images.device).expand(shape)  # only its shape is read
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, stride, padding, dilation, transposed, [0, 0], groups, [False, True, False]
    )[1]
    return found


def compile_plugin(folder: Path, name: str) -> None:
    """Compile and load a plugin of :data:`PLUGINS`; whether it worked is in the exit code."""
    adapt(folder, torch.device("cuda"))
    began = time.perf_counter()
    module = importlib.import_module(f"torch_utils.ops.{name}")
    warnings.resetwarnings()
    works = module._init()
    print(f"{name}: {'ready' if works else 'failed'} after {time.perf_counter() - began:.0f} s")
    raise SystemExit(0 if works else 1)


def loaded_plugins(compiled: set[str]) -> dict[str, bool]:
    """Which of the ``compiled`` plugins run; the others are replaced by their reference path, which is slower."""
    modules = {name: importlib.import_module(f"torch_utils.ops.{name}") for name in PLUGINS}
    for name, module in modules.items():
        if name not in compiled:
            module._inited = True  # type: ignore[attr-defined] # do not wait for a compiler that was stopped
    return {name: bool(module._init()) for name, module in modules.items()}


class Peer:
    """Their networks with our weights."""

    def __init__(self, model: Model, device: torch.device, *, num_fp16: int = 0) -> None:
        from torch_utils import training_stats
        from training.networks import Discriminator, Generator

        config = model.config
        synthesis, discriminator = config.synthesis, config.discriminator
        assert model.discriminator is not None
        self.device, self.z_dim, self._stats = device, config.z_dim, training_stats
        clamp = 256 if num_fp16 else None
        has_noise = any(spec.has_noise for spec in model.generator.synthesis.plan)
        sizes: dict[str, Any] = {"channel_max": synthesis.channel_max, "num_fp16_res": num_fp16, "conv_clamp": clamp}
        kwargs: dict[str, Any] = {"c_dim": 0, "img_resolution": config.resolution, "img_channels": 3}
        mapping = {"num_layers": config.mapping.num_layers, "lr_multiplier": config.mapping.lr_multiplier}
        latents = {"z_dim": config.z_dim, "w_dim": config.w_dim, "mapping_kwargs": mapping}
        own = {"channel_base": synthesis.channel_base, **({} if has_noise else {"use_noise": False})}
        self.g = Generator(**kwargs, **latents, synthesis_kwargs=sizes | own)
        group = {"mbstd_group_size": discriminator.mbstd_group_size}
        self.d = Discriminator(**kwargs, **sizes, channel_base=discriminator.channel_base, epilogue_kwargs=group)
        self._load(model)
        for network in (self.g, self.d):
            network.to(device).eval().requires_grad_(False)

    def _load(self, model: Model) -> None:
        tensors = _EXPORTED.get(id(model)) or _exported(model)
        _EXPORTED.clear()
        _EXPORTED[id(model)] = tensors
        for prefix, network in (("G_ema.", self.g), ("D.", self.d)):
            part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            network.load_state_dict(part)

    @torch.no_grad()
    def images(self, ws: Tensor) -> Tensor:
        """Images of w+ with the stored noise."""
        found: Tensor = self.g.synthesis(ws, noise_mode="const")
        return found

    def trainer(self, *, r1_gamma: float, pl_weight: float, lr: float, mixing: float) -> PeerTrainer:
        """Their training phases, from here on."""
        return PeerTrainer(self, r1_gamma=r1_gamma, pl_weight=pl_weight, lr=lr, mixing=mixing)


_EXPORTED: dict[int, dict[str, Tensor]] = {}
"""The tensors of the last model that was exported, by its identity."""


def _exported(model: Model) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    from sgkit.checkpoint import export

    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "model.safetensors", form="nvidia")
        return load_file(Path(folder) / "model.safetensors")


class PeerTrainer:
    """What their loop does in a step, written out: ``Gmain``, ``Greg`` each 4th, ``Dmain``, ``Dreg`` each 16th, EMA."""

    def __init__(self, peer: Peer, *, r1_gamma: float, pl_weight: float, lr: float, mixing: float) -> None:
        import copy

        from training.loss import StyleGAN2Loss

        self.g, self.d, self.device, self.z_dim = peer.g, peer.d, peer.device, peer.z_dim
        self.average = copy.deepcopy(self.g)
        for network in (self.g, self.d):
            network.train().requires_grad_(False)
        options = {"r1_gamma": r1_gamma, "pl_weight": pl_weight, "style_mixing_prob": mixing}
        self.loss = StyleGAN2Loss(self.device, self.g.mapping, self.g.synthesis, self.d, **options)
        self.optimizers = {
            id(network): torch.optim.Adam(network.parameters(), lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)
            for network, ratio in ((self.g, 4 / 5), (self.d, 16 / 17))
        }
        self.number, self.pl_weight = 0, pl_weight

    def step(self, images: Tensor) -> None:
        """One step over the uint8 ``images`` [N, 3, H, W] of the CPU."""
        reals = images.pin_memory() if self.device.type == "cuda" else images
        reals = reals.to(self.device, non_blocking=True).to(torch.float32) / 127.5 - 1
        z = torch.randn(4, len(images), self.z_dim, device=self.device)
        g, d = ((one, self.optimizers[id(one)]) for one in (self.g, self.d))
        move(self.loss, *g, "Gmain", gain=1, reals=reals, z=z[0])
        if self.number % 4 == 0 and self.pl_weight:
            move(self.loss, *g, "Greg", gain=4, reals=reals, z=z[1])
        move(self.loss, *d, "Dmain", gain=1, reals=reals, z=z[2])
        if self.number % 16 == 0:
            move(self.loss, *d, "Dreg", gain=16, reals=reals, z=z[3])
        update_average(self.average, self.g)
        self.number += 1


def move(
    loss: Any, network: Any, optimizer: torch.optim.Optimizer, phase: str, *, gain: int, reals: Tensor, z: Tensor
) -> None:
    """What their loop does in a phase."""
    labels = torch.zeros(len(reals), 0, device=reals.device)
    optimizer.zero_grad(set_to_none=True)
    network.requires_grad_(True)
    loss.accumulate_gradients(phase=phase, real_img=reals, real_c=labels, gen_z=z, gen_c=labels, sync=True, gain=gain)
    network.requires_grad_(False)
    for parameter in network.parameters():
        if parameter.grad is not None:
            torch.nan_to_num(parameter.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=parameter.grad)
    optimizer.step()


@torch.no_grad()
def update_average(average: Any, network: Any) -> None:
    """What their loop does to the averaged generator after a step."""
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.copy_(value.lerp(mean, 0.999))
    for mean, value in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(value)


if __name__ == "__main__":
    compile_plugin(Path(sys.argv[1]), sys.argv[2])
