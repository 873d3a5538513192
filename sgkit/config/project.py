"""Settings of a projection (``sgkit project``)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from sgkit.config.base import Config, Count, Share, Text, Weight
from sgkit.errors import UsageError, did_you_mean

SpaceName = Literal["z", "w", "w+", "s", "p", "p+"]
SPACES: tuple[SpaceName, ...] = get_args(SpaceName)
PriorName = Literal["none", "gaussian", "gaussian-layers", "gaussian-joint", "p", "mean", "delta"]
PRIOR_WEIGHTS: dict[PriorName, float] = {
    "none": 0.0,
    "gaussian": 5e-5,
    "gaussian-layers": 5e-5,
    "gaussian-joint": 5e-5,
    "p": 1e-4,
    "mean": 1e-3,
    "delta": 2e-4,
}
"""Weights beside a distance that weighs 1. Those of ``gaussian`` are 1e-3 beside 20 times LPIPS, as the code of
"StyleGAN of All Trades" has it; ``delta`` is e4e's (Tov et al. 2021); those of ``p`` and ``mean`` are ours."""
CropName = Literal["center", "none", "celeba", "face"]
"""How images of other shapes are cut: those crops of :mod:`sgkit.store.images.crops` that give one image each."""
VideoName = Literal["mp4", "webp", "gif"]
"""Formats of the animation of a search."""
NETWORK_LOSSES = ("lpips", "lpips-alex", "lpips-squeeze", "vgg", "effnet", "identity")
"""Losses by networks that others trained: rows of :data:`sgkit.config.networks.NETWORKS`."""
LOSSES = ("features", "pixels", "l1", "ssim", "ms-ssim", *NETWORK_LOSSES)
"""What a loss may be made of."""

_Times = Annotated[int, Field(ge=1, le=10**9)]


class ProjectSettings(Config):
    """How a picture's latent is searched. The defaults are those of StyleGAN2, appendix D, but for the loss."""

    space: SpaceName = "w"
    """``w``: one w for all layers, stays editable; ``w+``: one for each, comes closer; ``s``: styles; ``z``; ``p`` and
    ``p+``: w by the whitened components of its Gaussianized form."""
    prior: PriorName = "none"
    """What keeps the latent likely."""
    prior_weight: Weight | None = None
    """``None``: :data:`PRIOR_WEIGHTS`."""
    loss: Annotated[Text, AfterValidator(lambda text: text.strip().lower())] = "both"
    """What likeness is: ``features`` of the model's own discriminator, ``pixels``, ``both``; or a weighted sum of
    :data:`LOSSES`, such as ``features=1,l1=0.5``."""
    pixel_weight: Weight = 10.0
    """Weight of the pixels' mean squared error in ``both``, where the features' distance weighs 1."""
    steps: Annotated[int, Field(ge=0, le=10**9)] = 1000
    """0: the start is the result, such as an encoder's latent."""
    lr: Weight = 0.1
    """The highest learning rate of Adam."""
    lr_rampup: Share = 0.05
    """Fraction of the steps in which the learning rate rises from 0, linearly."""
    lr_rampdown: Share = 0.25
    """Fraction of the steps in which it falls to 0, along a cosine."""
    initial_noise: Weight = 0.05
    """Deviation of the noise on the latent at the start, in deviations of the latent's distribution."""
    noise_ramp: Share = 0.75
    """Fraction of the steps after which that noise is gone."""
    w_samples: _Times = 10_000
    """Latents that the distribution is taken from."""
    starts: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Start from the best of this many random latents and the middle of the distribution; 0: from the middle."""
    coarse: Share = 0.0
    """Fraction of the steps in which pictures are compared at a quarter, then at half of their size."""
    patience: Count = 0
    """Finish a picture when this many steps have not improved it by :attr:`improvement`; 0: never."""
    improvement: Share = 0.001
    """What counts as an improvement: a fraction of the best distance."""
    optimize_noise: bool = True
    """Also search the noise maps of the layers."""
    zero_noise: bool = False
    """Set the noise maps to 0 instead: images without noise. The maps are kept with the latents."""
    noise_weight: Weight = 1e5
    """Weight of the noise maps' regularization."""
    optimize_place: bool = True
    """Also search where the image is on the canvas: StyleGAN3 only, whose input can be moved and turned."""
    smooth: Weight | None = None
    """Images are frames: start each from the one before, and add this weight times the squared change of the latent, in
    deviations of its distribution. ``None``: images have nothing to do with each other."""
    frame_steps: Count = 0
    """Steps of each frame after the first; 0: a quarter of :attr:`steps`."""
    downscale: Annotated[int, Field(ge=1, le=1024)] = 1
    """Compare means of squares of this many pixels a side: super-resolution."""
    grayscale: bool = False
    """Compare brightness alone: colourisation."""
    recompute: bool = False
    """Compute activations again on the way back instead of keeping them: less memory for more time."""
    seed: Count = 0
    """Draws the first noise maps, the noise on the latent and the random starts."""

    def __post_init__(self) -> None:
        self.terms()

    @property
    def of_next_frame(self) -> ProjectSettings:
        """Those of a frame that starts from the one before: fewer steps, and no noise on the latent."""
        return replace(self, steps=self.frame_steps or max(self.steps // 4, 1), initial_noise=0.0, starts=0, coarse=0.0)

    def terms(self) -> dict[str, float]:
        """Weights of the terms of the loss, by name.

        Raises:
            UsageError: ``loss`` is none.
        """
        if self.loss == "both":
            return {"features": 1.0, "pixels": self.pixel_weight}
        terms: dict[str, float] = {}
        for part in self.loss.split(","):
            given, _, weight = part.strip().partition("=")
            name = given.strip()
            if name not in LOSSES:
                hint = did_you_mean(given, ("both", *LOSSES))
                raise UsageError(f"loss is {given!r}. {hint} Weighted sums are written as features=1,l1=0.5.")
            try:
                terms[name] = float(weight) if weight else 1.0
            except ValueError:
                raise UsageError(f"The weight {weight!r} of the loss {name} is not a number.") from None
            if not 0 <= terms[name] < math.inf:
                raise UsageError(f"The weight of the loss {name} is {weight}; it must be 0 or more.")
        if not any(terms.values()):
            raise UsageError(f"The loss {self.loss!r} weighs nothing; give one of its terms a weight above 0.")
        return {name: weight for name, weight in terms.items() if weight}
