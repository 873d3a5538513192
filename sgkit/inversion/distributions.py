"""How a model's latents are distributed: what searches start from, and what priors measure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import Model
from sgkit.unpickle.kept import load_arrays, save_arrays
from sgkit.weights import cache_folder

STATISTICS_SEED = 123
"""NVIDIA's projectors draw the latents for mean and deviation of w from this seed."""
SLOPE = 0.2
"""Of the leaky ReLU that mapping networks end with."""
RIDGE = 1e-3
"""Added to the variances of a full covariance, as a fraction of their mean: some directions hardly vary."""
_CHUNK = 1000
_FORMAT = 1
"""Part of the statistics' key: raise it when they are computed differently."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of vectors."""

    mean: Tensor
    """[d]."""
    covariance: Tensor
    """[d, d], float64."""

    @classmethod
    def of(cls, samples: Tensor) -> Gaussian:
        """Mean and (population) covariance of ``samples`` [n, d]."""
        samples = samples.double()
        mean = samples.mean(dim=0)
        centred = samples - mean
        return cls(mean.float(), centred.t() @ centred / len(samples))

    @property
    def deviation(self) -> float:
        """Root of the mean squared distance from the mean."""
        return self.covariance.trace().sqrt().item()

    @property
    def variances(self) -> Tensor:
        """[d], float64."""
        return self.covariance.diagonal()

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor]:
        """Principal axes [d, d] (columns) and the variances along them [d], float64, falling."""
        variances, axes = torch.linalg.eigh(self.covariance)
        return axes.flip(1), variances.flip(0).clamp(min=0)


@dataclass(frozen=True)
class JointGaussian:
    """All styles as one vector, which is affine in w and so varies in as many directions as w has."""

    mean: Mapping[str, Tensor]
    """Layer name -> [C]."""
    axes: Tensor
    """[D, k], orthonormal columns, float64."""
    variances: Tensor
    """[k], float64."""
    ridge: float
    """Variance in every direction, beside those."""

    def squared(self, styles: Mapping[str, Tensor]) -> Tensor:
        """Squared Mahalanobis distance [N] of ``styles``: layer name -> [N, C]."""
        offset = torch.cat([styles[name] - mean for name, mean in self.mean.items()], dim=1)
        axes = self.axes.to(offset)
        along = offset @ axes
        inside = (along.square() / (self.variances + self.ridge).to(offset)).sum(dim=1)
        return inside + (offset - along @ axes.t()).square().sum(dim=1) / self.ridge


@dataclass(frozen=True, kw_only=True)
class LatentDistribution:
    """How the latents of a model are distributed, or those of one ``label`` [1, label_dim], by ``samples`` of them."""

    model: Model
    samples: int = 10_000
    label: Tensor | None = None

    @cached_property
    def w_samples(self) -> Tensor:
        """[samples, w_dim], of the z that NVIDIA's projectors draw."""
        model = self.model
        z = np.random.RandomState(STATISTICS_SEED).randn(self.samples, model.config.z_dim)
        return torch.cat([self.map(part) for part in torch.split(torch.from_numpy(z).float(), _CHUNK)])

    @torch.no_grad()
    def map(self, z: Tensor) -> Tensor:
        """w [N, w_dim] of ``z`` [N, z_dim]."""
        label = None if self.label is None else self.label.expand(len(z), -1)
        return self.model.map(z.to(self.model.device) if self.model.config.z_dim else None, label)[:, 0]

    @cached_property
    def w(self) -> Gaussian:
        """The distribution of w."""
        return Gaussian.of(self.w_samples)

    @cached_property
    def p(self) -> Gaussian:
        """The distribution of :func:`gaussianized` w.

        Raises:
            UsageError: the mapping network does not end with a leaky ReLU.
        """
        mapping = self.model.config.mapping
        if mapping.num_layers == 0 or mapping.activation != "lrelu":
            raise UsageError(
                "The space p undoes the leaky ReLU at the end of a mapping network, and this model has none. "
                "Use the space w."
            )
        return Gaussian.of(gaussianized(self.w_samples))

    @cached_property
    def styles(self) -> dict[str, Gaussian]:
        """The distribution of each layer's styles; kept in a file under the model's content hash.

        Raises:
            UsageError: the model has no styles.
        """
        names = self._layers()
        key = self._key()
        path = cache_folder("latents") / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.npz"
        held = load_arrays(path, key)
        if held is not None and all(f"{part}_{name}" in held for part in ("mean", "cov") for name in names):
            return {
                name: Gaussian(
                    torch.tensor(held[f"mean_{name}"], device=self.model.device),
                    torch.tensor(held[f"cov_{name}"], device=self.model.device).double(),
                )
                for name in names
            }
        found = self._measured_styles()
        arrays = {f"mean_{name}": one.mean.cpu().numpy() for name, one in found.items()}
        arrays |= {f"cov_{name}": one.covariance.float().cpu().numpy() for name, one in found.items()}
        save_arrays(path, key, arrays)
        return {name: Gaussian(one.mean, one.covariance.float().double()) for name, one in found.items()}

    @cached_property
    def joint_styles(self) -> JointGaussian:
        """The distribution of all styles together, from that of w: styles are affine in w.

        Raises:
            UsageError: they are not, in this model.
        """
        names, zero = self._layers(), torch.zeros_like(self.w_samples[:1])
        base = self._styles(zero)
        units = self._styles(torch.eye(zero.shape[1]).to(zero))
        matrix = torch.cat([units[name] - base[name] for name in names], dim=1).double()
        tried = self.w_samples[:8]
        expected = torch.cat([base[name] for name in names], dim=1) + tried @ matrix.float()
        actual = torch.cat([self._styles(tried)[name] for name in names], dim=1)
        if not torch.allclose(expected, actual, rtol=1e-3, atol=1e-3 * actual.abs().max().item()):
            raise UsageError(
                "The styles of this model are not affine in w, so they have no joint Gaussian. Use the prior gaussian."
            )
        axes, variances = self.w.axes
        u, singular, _ = torch.linalg.svd((matrix.t() @ axes) * variances.sqrt(), full_matrices=False)
        mean = {name: one[0] for name, one in self._styles(self.w.mean[None]).items() if name in names}
        ridge = RIDGE * singular.square().sum().item() / len(u)
        return JointGaussian(mean, u, singular.square(), max(ridge, 1e-12))

    @torch.no_grad()
    def _styles(self, w: Tensor) -> dict[str, Tensor]:
        return self.model.styles(w[:, None].expand(-1, self.model.num_ws, -1))

    def _layers(self) -> tuple[str, ...]:
        names = tuple(name for name, style in self._styles(self.w_samples[:1]).items() if style.shape[1])
        if not names:
            raise UsageError("This model has no styles (it is older than StyleGAN). Use the space z.")
        return names

    def _measured_styles(self) -> dict[str, Gaussian]:
        parts = [self._styles(part) for part in torch.split(self.w_samples, _CHUNK)]
        return {name: Gaussian.of(torch.cat([part[name] for part in parts])) for name in self._layers()}

    def _key(self) -> str:
        label = None if self.label is None else [round(value, 6) for value in self.label[0].tolist()]
        values = {"format": _FORMAT, "model": self.model.content_hash(), "samples": self.samples, "label": label}
        return json.dumps(values, sort_keys=True)


def gaussianized(w: Tensor) -> Tensor:
    """p: w before the last leaky ReLU, up to its gain (Wulff and Torralba 2020; Zhu et al. 2020)."""
    return torch.where(w < 0, w / SLOPE, w)


def degaussianized(p: Tensor) -> Tensor:
    """w of ``p``: the inverse of :func:`gaussianized`."""
    return torch.where(p < 0, p * SLOPE, p)
