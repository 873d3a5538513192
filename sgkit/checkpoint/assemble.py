"""Networks built around tensors that are there already: no weights are drawn or copied, and every misfit is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError
from sgkit.model import Discriminator, Generator, Model, ModelInfo
from sgkit.text import name_list

N = TypeVar("N", bound=nn.Module)
MAX_DEPTH = 64
MAX_WIDTH = 1 << 16
MAX_TAPS = 1 << 8
"""Of a resampling filter; StyleGAN3's have 12."""
NETWORKS = ("generator", "raw_generator", "discriminator")


class _Uninitialized(TorchFunctionMode):
    """While it is on, fresh weights are memory that nobody writes to, so building a network costs next to nothing.

    (The ``meta`` device would do as well, but its first use imports a thousand modules.)
    """

    def __init__(self) -> None:
        super().__init__()
        self._fresh: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.randn:
            weight = torch.empty(*args, **(kwargs or {}))
            self._fresh[id(weight)] = weight
            return weight
        if func in (Tensor.__truediv__, Tensor.div) and id(args[0]) in self._fresh and not isinstance(args[1], Tensor):
            return args[0]  # fresh weights scaled: their values do not matter, but writing them would take memory
        return func(*args, **(kwargs or {}))


def build_empty(build: Callable[[], N], *, what: str) -> N:
    """The network that ``build`` makes, its weights without memory or values: for its names, shapes and filters."""
    try:
        with _Uninitialized():
            return build()
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).rpartition("DefaultCPUAllocator: ")[2].partition("\n")[0]
        raise CheckpointError(
            f"The configuration of {what} does not describe a network that can be built: {reason}"
        ) from error


def build_around(build: Callable[[], N], tensors: Mapping[str, Tensor], *, what: str) -> N:
    """The network that ``build`` makes, with ``tensors`` as its parameters and buffers; they are not copied.

    Numbers of 16 bits become fp32, in which networks compute unless a precision is asked for.

    Args:
        build: makes the network, such as ``lambda: Generator(config)``.
        tensors: state dict name -> tensor.
        what: how a message calls the network: ``"the generator"``.
    """
    network = build_empty(build, what=what)
    _check_tensors(network, tensors, what)
    wide = {name: one.float() if one.dtype in (torch.float16, torch.bfloat16) else one for name, one in tensors.items()}
    network.load_state_dict(wide, assign=True)
    return network.to(next(iter(wide.values())).device)  # what is in no file too: filters


def builder(name: str, config: ModelConfig) -> tuple[Callable[[], Generator | Discriminator], str]:
    """(makes the network called ``name``, how a message calls it)."""
    network = Discriminator if name == "discriminator" else Generator
    return lambda: network(config), f"the {name.replace('_', ' ')}"


def assemble(
    config: ModelConfig,
    parts: Mapping[str, Mapping[str, Tensor]],
    info: ModelInfo,
    *,
    left_out: dict[str, str] | None = None,
) -> Model:
    """The model whose networks have the tensors of ``parts``: ``generator``, and maybe the other two.

    Args:
        config: of the model.
        parts: network -> tensors by name.
        info: of the model.
        left_out: filled with networks that images do not need and that do not fit; without it they are errors.
    """
    check_size(config)
    networks: dict[str, Any] = {}
    for name in parts:
        build, what = builder(name, config)
        try:
            networks[name] = build_around(build, parts[name], what=what)
        except CheckpointError as error:
            if left_out is None or name == "generator":
                raise
            left_out[name] = str(error)
    return Model(config=config, **networks, info=info)


def check_size(config: ModelConfig) -> None:
    """Refuse, before anything is built, configurations that no real model has."""
    synthesis, discriminator, alias_free = config.synthesis, config.discriminator, config.synthesis.alias_free
    depths = [config.mapping.num_layers, discriminator.mapping.num_layers, alias_free.num_layers if alias_free else 0]
    widths = [*config.image_size, config.z_dim, config.w_dim, config.label_dim, config.mapping.layer_features or 0]
    widths += [synthesis.channel_max, discriminator.channel_max]
    widths += [*(synthesis.channels or ()), *(discriminator.channels or ())]
    taps = [len(synthesis.resample_filter), len(discriminator.resample_filter)]
    taps.append(alias_free.filter_size * alias_free.lrelu_upsampling if alias_free else 0)
    widths.append(alias_free.margin if alias_free else 0)
    if max(depths) > MAX_DEPTH or max(widths) > MAX_WIDTH or max(taps) > MAX_TAPS:
        raise CheckpointError(
            f"Its configuration has {max(depths)} layers in a network, a width or image side of {max(widths)}, or "
            f"filters of {max(taps)} taps; at most {MAX_DEPTH}, {MAX_WIDTH} and {MAX_TAPS} are read."
        )


def _check_tensors(network: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in tensors.items()}
    other = (n for n, shape in wanted.items() if n in given and given[n] != shape)
    problems = [
        *counted("missing", (name for name in wanted if name not in given)),
        *counted("unknown", (name for name in given if name not in wanted)),
        *counted("of another shape", (f"{n} (is {given[n]}, must be {wanted[n]})" for n in other)),
        *counted("not of floating-point numbers", (n for n, t in tensors.items() if not t.is_floating_point())),
    ]
    if problems:
        raise CheckpointError(f"The file does not fit {what}. {'. '.join(problems)}.")


def counted(what: str, names: Iterable[str]) -> list[str]:
    """A sentence that counts and names tensors, ``2 tensors are missing: a, b``; none where there are none."""
    found = list(names)
    if not found:
        return []
    return [f"{len(found)} {'tensor is' if len(found) == 1 else 'tensors are'} {what}: {name_list(found)}"]
