"""Features of a model's own discriminator: they know what matters in the images that it was trained with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sgkit.errors import UsageError
from sgkit.metrics.networks import to_rgb
from sgkit.model import Model

_LUMA = (0.299, 0.587, 0.114)


class DiscriminatorExtractor:
    """The last features before a discriminator's head, averaged over places.

    Args:
        model: with a discriminator; its content is part of the content id.
        path: where it was found, for the record.

    Raises:
        UsageError: the model's file holds no discriminator.
    """

    name = "d"

    def __init__(self, model: Model, path: str = "") -> None:
        if model.discriminator is None:
            raise UsageError(
                "The metrics of the network 'd' need the model's discriminator, but this model's file holds none. Use "
                "a file with the discriminator in it, or the metrics of effnet."
            )
        self.model, self.discriminator = model, model.discriminator
        self._last = [spec for spec in self.discriminator.plan if spec.kind == "conv"][-1]
        self.content_id = f"discriminator/{model.content_hash()}/bicubic-antialias"
        self.note = f"features of the discriminator of {path or 'the model'} ({model.content_hash()[:12]})"
        """Said beside every value: values by different discriminators cannot be compared."""
        self.dim = int(self(torch.zeros(1, 3, *model.image_size, dtype=torch.uint8)).shape[1])

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, dim] of ``images`` uint8 [N, C, H, W] with 1, 3 or 4 channels."""
        found = self.discriminator.features(self.prepare(images.to(self.model.device)), stop=self._last.index + 1)
        return found[self._last.name].float().mean(dim=(2, 3))

    def prepare(self, images: Tensor) -> Tensor:
        """The whole image at the model's size by antialiased bicubic, in its channels, -1 to 1."""
        x, channels = to_rgb(images), self.model.config.image_channels
        if x.shape[2:] != self.model.image_size:
            x = F.interpolate(x, self.model.image_size, mode="bicubic", align_corners=False, antialias=True)
        x = x.clamp(0, 255) / 127.5 - 1
        if channels == 1:
            return (x * x.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        return x if channels == 3 else F.pad(x, (0, 0, 0, 0, 0, channels - 3), value=1.0)
