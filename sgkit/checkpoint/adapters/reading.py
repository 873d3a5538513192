"""Options, shapes and filters of foreign networks, checked: what configurations are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sgkit.checkpoint.foreign_file import ForeignNetwork
from sgkit.errors import CheckpointError
from sgkit.text import name_list

Options = Mapping[str, Any]


def option(options: Options, name: str, kind: type, default: Any) -> Any:
    """An option of a foreign network, checked."""
    value = options.get(name, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind and not (value is None and default is None):
        raise CheckpointError(
            f"Option {name} of the network is {value!r}; a value of type {kind.__name__} is expected."
        )
    return value


def refuse_unknown_options(options: Options, known: Iterable[str], *, what: str) -> None:
    """Refuse options that no rule covers, as they may change the arithmetic."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        named = name_list(f"{name}={options[name]!r}"[:80] for name in unknown)
        raise CheckpointError(f"{what} was built with options that sgkit does not know: {named}.")


def refuse_other_sizes(generator: Options, discriminator: Options, defaults: Mapping[str, int]) -> None:
    """Refuse a discriminator that was built for other images or labels than the generator."""
    for name, default in defaults.items():
        one, other = generator.get(name, default), discriminator.get(name, default)
        if one != other:
            raise CheckpointError(f"G has {name} {one}, D has {other}: they do not belong together.")


def resolution_of(options: Options, name: str, default: int) -> int:
    """The side of the images that a network was built for."""
    resolution: int = option(options, name, int, default)
    if not 8 <= resolution <= 1 << 14 or resolution & (resolution - 1):
        raise CheckpointError(f"It was built for images of {resolution} pixels; a power of two from 8 up is expected.")
    return resolution


def taps_of(options: Options, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """A resampling filter among options."""
    taps = options.get(name, list(default))
    if not isinstance(taps, list) or not taps or not all(type(tap) in (int, float) for tap in taps):
        raise CheckpointError(f"Option {name} is {taps!r}; a list of numbers is expected.")
    return tuple(float(tap) for tap in taps)


def shape_of(network: ForeignNetwork, name: str, ndim: int) -> tuple[int, ...]:
    """The shape of a tensor, which must have ``ndim`` axes."""
    array = network.tensors.get(name)
    if array is None or array.ndim != ndim:
        held = "is missing" if array is None else f"has shape {list(array.shape)}, not {ndim} axes"
        raise CheckpointError(f"Tensor {name} {held}, in network {network.name}.")
    return tuple(array.shape)


def channel_rule(channels: Iterable[int]) -> dict[str, Any]:
    """The fields of a configuration that give ``channels`` at 4x4, 8x8 ...: base and maximum, else each by itself."""
    channels = tuple(channels)
    largest = max(channels)
    low, high = 1, 1 << 40
    for level, count in enumerate(channels):
        resolution = 4 << level
        low = max(low, count * resolution)
        if count < largest:
            high = min(high, (count + 1) * resolution - 1)
    if low > high:
        return {"channels": channels}
    power = 1 << (low - 1).bit_length()
    return {"channel_base": power if power <= high else low, "channel_max": largest}
