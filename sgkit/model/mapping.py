"""The mapping network z -> w -> w+, with truncation (StyleGAN, sections 2 and appendix B)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sgkit.config import MappingConfig
from sgkit.config.mapping import joined_features
from sgkit.errors import UsageError
from sgkit.model.layers import FullyConnected
from sgkit.ops import normalize_2nd_moment


def truncate(ws: Tensor, w_avg: Tensor, *, psi: float | Sequence[float] = 1.0, cutoff: int | None = None) -> Tensor:
    """``ws`` [N, num_ws, w_dim] moved towards ``w_avg`` [w_dim]: psi 1 keeps them, 0 gives the average.

    Args:
        psi: one number, or one for each w.
        cutoff: only this many w, from the first on; ``None``: all.

    Raises:
        UsageError: the number of psi is neither one nor num_ws, or the cutoff is out of range.
    """
    num_ws = ws.shape[1]
    if isinstance(psi, Sequence):
        if len(psi) != num_ws:
            raise UsageError(
                f"{len(psi)} values of truncation psi were given; give one, or one for each of {num_ws} w."
            )
        factors = list(psi)
    else:
        factors = [float(psi)] * num_ws
    if cutoff is not None:
        if not 0 <= cutoff <= num_ws:
            raise UsageError(f"Truncation cutoff {cutoff} is out of range; the model has {num_ws} w, so 0 to {num_ws}.")
        factors[cutoff:] = [1.0] * (num_ws - cutoff)
    if all(factor == 1.0 for factor in factors):
        return ws
    return w_avg.lerp(ws, torch.tensor(factors, dtype=ws.dtype, device=ws.device)[:, None])


class Mapping(nn.Module):
    """f: z -> w. Without z it maps a label alone; without layers it normalises z."""

    w_avg: Tensor

    def __init__(
        self, config: MappingConfig, *, z_dim: int, label_dim: int, w_dim: int, num_ws: int, tracks_average: bool = True
    ) -> None:
        super().__init__()
        self.config, self.z_dim, self.label_dim, self.num_ws = config, z_dim, label_dim, num_ws
        self.tracks_average = tracks_average
        if label_dim > 0:
            self._add_label_layers(w_dim)
        in_features = joined_features(config, z_dim=z_dim, label_dim=label_dim, w_dim=w_dim)
        width = w_dim if config.layer_features is None else config.layer_features
        widths = [in_features, *[width] * (config.num_layers - 1), w_dim]
        for index in range(config.num_layers):
            layer = FullyConnected(
                widths[index],
                widths[index + 1],
                activation=config.activation,
                lr_multiplier=config.lr_multiplier,
                gain_in_weight=config.gain_in_weight,
            )
            self.add_module(f"fc{index}", layer)
        if tracks_average:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        label: Tensor | None = None,
        *,
        truncation_psi: float | Sequence[float] = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """w+ [N, num_ws, w_dim] for ``z`` [N, z_dim] and ``label`` [N, label_dim].

        Runs in the weights' precision, whatever autocast says: w is small, and every layer depends on it.

        Raises:
            UsageError: z or label is missing, superfluous or of another length than the network's.
        """
        with torch.autocast(device_type=self._device_type(), enabled=False):
            w = self._map(z, label)
        ws = w[:, None].repeat(1, self.num_ws, 1)  # a copy for each layer: users write into single ones
        if not self.tracks_average:
            return ws
        return truncate(ws, self.w_avg, psi=truncation_psi, cutoff=truncation_cutoff)

    def _add_label_layers(self, w_dim: int) -> None:
        """Make what joins the label to z."""
        mode, features = self.config.label_mode, self.config.label_features
        if mode == "embed":
            self.embed = FullyConnected(self.label_dim, features or w_dim)
        elif mode == "matrix":
            self.label_matrix = nn.Parameter(torch.randn(self.label_dim, features or self.z_dim))
        elif mode == "shift_scale":
            self.label_shift = FullyConnected(self.label_dim, self.z_dim)
            self.label_scale = FullyConnected(self.label_dim, self.z_dim)

    def _map(self, z: Tensor | None, label: Tensor | None) -> Tensor:
        if self.label_dim == 0 and label is not None and label.shape[-1] > 0:
            raise UsageError(f"A label of length {label.shape[-1]} was given, but the model takes none.")
        z = self._own_dtype(checked_latent("z", z, self.z_dim)) if self.z_dim > 0 else None
        if self.label_dim > 0:
            label = self._own_dtype(checked_latent("label", label, self.label_dim))
        x = self._join(z, label if self.label_dim > 0 else None)
        for index in range(self.config.num_layers):
            x = self.get_submodule(f"fc{index}")(x)
        return x

    def _join(self, z: Tensor | None, label: Tensor | None) -> Tensor:
        """z and label as one vector, normalised as the mode has it."""
        mode = self.config.label_mode
        parts = [] if z is None else [z]
        if label is not None and mode == "embed":
            parts.append(self.embed(label))
            return torch.cat([self._normalize(part) for part in parts], dim=1)
        if label is not None and mode == "shift_scale":
            parts = [part + self.label_shift(label) + part * self.label_scale(label) for part in parts]
        elif label is not None:
            parts.append(label @ self.label_matrix if mode == "matrix" else label)
        return self._normalize(torch.cat(parts, dim=1))

    def _normalize(self, x: Tensor) -> Tensor:
        return normalize_2nd_moment(x) if self.config.normalize else x

    def _own_dtype(self, latent: Tensor) -> Tensor:
        parameter = next(self.parameters(), None)
        return latent if parameter is None else latent.to(parameter.dtype)

    def _device_type(self) -> str:
        return next((p.device.type for p in self.parameters()), "cpu")


def checked_latent(name: str, given: Tensor | None, length: int) -> Tensor:
    """``given`` [N, length] as floating point.

    Raises:
        UsageError: it is missing or of another shape.
    """
    if given is None:
        raise UsageError(f"The model needs a {name} of length {length}; none was given.")
    if given.ndim != 2 or given.shape[1] != length:
        raise UsageError(f"The model needs a {name} of shape [N, {length}]; {list(given.shape)} was given.")
    return given.float() if not given.is_floating_point() else given
