"""Networks built around tensors that are there already: nothing is drawn, nothing copied, every misfit named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
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


class _Weightless(TorchFunctionMode):
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


def adopt(build: Callable[[], N], tensors: Mapping[str, Tensor], *, what: str) -> N:
    """The network that ``build`` makes, with ``tensors`` as its parameters and buffers; they are not copied.

    Args:
        build: makes the network, such as ``lambda: Generator(config)``.
        tensors: state dict name -> tensor.
        what: how a message calls the network: ``"the generator"``.

    Raises:
        CheckpointError: tensors are missing, unknown, of another shape, or hold no floating-point numbers; each is
            named.
    """
    network = weightless(build, what=what)
    check_shapes(
        {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()},
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name for name, tensor in tensors.items() if tensor.is_floating_point()},
        what=what,
    )
    network.load_state_dict(dict(tensors), assign=True)
    return network


def assemble(config: ModelConfig, parts: Mapping[str, Mapping[str, Tensor]], info: ModelInfo) -> Model:
    """The model whose networks have the tensors of ``parts``: ``generator``, and maybe the other two.

    Raises:
        CheckpointError: a network is too large to be real, or its tensors do not fit; each is named.
    """
    check_size(config)
    generator = adopt(lambda: Generator(config), parts["generator"], what="the generator")
    raw = discriminator = None
    if "raw_generator" in parts:
        raw = adopt(lambda: Generator(config), parts["raw_generator"], what="the raw generator")
    if "discriminator" in parts:
        discriminator = adopt(lambda: Discriminator(config), parts["discriminator"], what="the discriminator")
    return Model(config=config, generator=generator, discriminator=discriminator, raw_generator=raw, info=info)


def misfits(config: ModelConfig, parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, str]:
    """Networks that images do not need and whose tensors do not fit, with what is wrong: name -> sentence."""
    check_size(config)
    builders: dict[str, Callable[[], nn.Module]] = {
        "raw_generator": lambda: Generator(config),
        "discriminator": lambda: Discriminator(config),
    }
    found: dict[str, str] = {}
    for name, build in builders.items():
        try:
            if name in parts:
                adopt(build, parts[name], what=f"the {name.replace('_', ' ')}")
        except CheckpointError as error:
            found[name] = str(error)
    return found


def check_size(config: ModelConfig) -> None:
    """Refuse, before anything is built, configurations that no real model has.

    Raises:
        CheckpointError: saying which numbers are too large.
    """
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


def weightless(build: Callable[[], N], *, what: str) -> N:
    """The network that ``build`` makes, its weights without memory or values: for its names, shapes and filters.

    Raises:
        CheckpointError: it cannot be built.
    """
    try:
        with _Weightless():
            return build()
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).rpartition("DefaultCPUAllocator: ")[2].partition("\n")[0]
        raise CheckpointError(
            f"The configuration of {what} describes no network that can be built: {reason}"
        ) from error


Shapes = Mapping[str, tuple[int, ...]]


def check_shapes(wanted: Shapes, given: Shapes, floats: Collection[str], *, what: str) -> None:
    """Compare the tensors of a file with those of a network.

    Args:
        wanted: shapes of the network's tensors by name.
        given: shapes of the file's.
        floats: names of the file's tensors that are floating-point numbers.
        what: how a message calls the network: ``"the generator"``.

    Raises:
        CheckpointError: tensors are missing, unknown, of another shape, or hold no floating-point numbers; each is
            named.
    """
    other = (n for n, shape in wanted.items() if n in given and given[n] != shape)
    problems = [
        *_each("missing", (name for name in wanted if name not in given)),
        *_each("unknown", (name for name in given if name not in wanted)),
        *_each("of another shape", (f"{n} (is {list(given[n])}, must be {list(wanted[n])})" for n in other)),
        *_each("no floating-point numbers", (name for name in given if name not in floats)),
    ]
    if problems:
        raise CheckpointError(f"The file does not fit {what}. " + " ".join(problems))


def _each(what: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    if not found:
        return []
    return [f"{len(found)} {'tensor is' if len(found) == 1 else 'tensors are'} {what}: {name_list(found)}."]
