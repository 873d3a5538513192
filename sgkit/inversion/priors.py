"""Priors: how unlikely a latent is. Each is a squared distance, summed over all numbers of a latent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.config.project import PriorName, SpaceName
from sgkit.errors import UsageError
from sgkit.inversion.distributions import RIDGE, Gaussian, LatentDistribution
from sgkit.inversion.spaces import whitening


class Measured(NamedTuple):
    """Latents, in the forms that priors measure."""

    ws: Tensor | None
    """w+ [N, num_ws, w_dim]; ``None``: they come after w."""
    styles: Mapping[str, Tensor]
    """Layer name -> [N, C]."""

    @property
    def w(self) -> Tensor:
        """w+, for priors that :func:`prior_named` gives only where there is one."""
        assert self.ws is not None
        return self.ws


Prior = Callable[[Measured], Tensor]
"""Latents -> squared distances [N]."""


def prior_named(name: PriorName, distribution: LatentDistribution, space: SpaceName) -> Prior | None:
    """The prior ``name`` of a model's latents; ``None``: there is none.

    ``gaussian``: of each style by itself ("StyleGAN of All Trades", section 3.4: sigma space is close to normal);
    ``gaussian-layers``: with the full covariance of each layer's styles; ``gaussian-joint``: of all layers together;
    ``p``: of w, Gaussianized (Wulff and Torralba 2020; Zhu et al. 2020); ``mean``: from the mean of w; ``delta``: of
    the w of later layers from that of the first (Tov et al. 2021, equation 4).

    Raises:
        UsageError: the prior needs w, which ``space`` does not have, or w+; or the model lacks what it measures.
    """
    if name in ("p", "mean", "delta") and space == "s":
        raise UsageError(f"The prior {name} measures w, and styles (--space s) have none. Use a gaussian prior.")
    if name == "delta" and space not in ("w+", "p+"):
        raise UsageError("The prior delta compares the layers of w+, so it needs --space w+ or p+.")
    return _BUILDERS[name](distribution) if name != "none" else None


def _diagonal(distribution: LatentDistribution) -> Prior:
    return _over_layers(distribution.styles, _by_itself)


def _by_itself(gaussian: Gaussian) -> Callable[[Tensor], Tensor]:
    variances = gaussian.variances
    scale = (variances + RIDGE * variances.mean().clamp(min=1e-12)).rsqrt().float()
    return lambda style: ((style - gaussian.mean) * scale).square().sum(dim=1)


def _layers(distribution: LatentDistribution) -> Prior:
    return _over_layers(distribution.styles, _mahalanobis)


def _mahalanobis(gaussian: Gaussian) -> Callable[[Tensor], Tensor]:
    axes, variances = gaussian.axes
    whiten = (axes / (variances + RIDGE * variances.mean().clamp(min=1e-12)).sqrt()).float()
    return lambda style: ((style - gaussian.mean) @ whiten).square().sum(dim=1)


def _over_layers(gaussians: Mapping[str, Gaussian], measure: Callable[[Gaussian], Callable[[Tensor], Tensor]]) -> Prior:
    measures = {name: measure(gaussian) for name, gaussian in gaussians.items()}
    return lambda found: torch.stack([one(found.styles[name]) for name, one in measures.items()]).sum(dim=0)


def _joint(distribution: LatentDistribution) -> Prior:
    joint = distribution.joint_styles
    return lambda found: joint.squared(found.styles)


def _gaussianized(distribution: LatentDistribution) -> Prior:
    whitened = whitening(distribution)
    return lambda found: whitened(found.w).square().sum(dim=2).mean(dim=1)


def _mean(distribution: LatentDistribution) -> Prior:
    mean = distribution.w.mean
    return lambda found: (found.w - mean).square().sum(dim=2).mean(dim=1)


def _delta(distribution: LatentDistribution) -> Prior:  # noqa: ARG001
    return lambda found: (found.w[:, 1:] - found.w[:, :1]).square().sum(dim=(1, 2))


_BUILDERS: dict[PriorName, Callable[[LatentDistribution], Prior]] = {
    "gaussian": _diagonal,
    "gaussian-layers": _layers,
    "gaussian-joint": _joint,
    "p": _gaussianized,
    "mean": _mean,
    "delta": _delta,
}
