"""Colour transforms as one affine map of colours per image (Karras et al. 2020, appendix B.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgkit.runtime.device import to_device
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.random import AugmentRandom, where


def recolor(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] with other colours; alpha, a fourth channel, stays.

    Of one channel, grey, only what changes brightness is left: brightness, contrast and luma flip.

    Raises:
        ValueError: colours are to change, and there are neither 1, 3 nor 4 channels.
    """
    if not any((pipe.brightness, pipe.contrast, pipe.lumaflip, pipe.hue, pipe.saturation)):
        return images
    channels = images.shape[1]
    if channels not in (1, 3, 4):
        raise ValueError(
            f"Images have {channels} channels; colour transforms support 1 (grey), 3 (RGB) and 4 (RGB and alpha). "
            "Use a pipe without colour, such as 'bg'."
        )
    transform = color_transform(random, p=p, pipe=pipe, grey=channels == 1)
    changed = (transform != torch.eye(4, device=transform.device)).flatten(1).any(dim=1)[:, None, None, None]
    changed, transform = to_device(changed, images.device), to_device(transform.to(images.dtype), images.device)
    color = images[:, :3]
    if channels == 1:
        rows = transform[:, :3].mean(dim=1)[:, :, None, None]
        recolored = color * rows[:, :3].sum(dim=1, keepdim=True) + rows[:, 3:]
    else:
        recolored = (transform[:, :3, :3] @ color.flatten(2) + transform[:, :3, 3:]).reshape(color.shape)
    recolored = torch.where(changed, recolored, color)
    return torch.cat([recolored, images[:, 3:]], dim=1) if channels == 4 else recolored


def color_transform(random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe, grey: bool = False) -> Tensor:
    """Homogeneous matrices [N, 4, 4] from a colour (r, g, b, 1) to the new one.

    ``grey``: without hue and saturation, which leave greys as they are.
    """
    transform = torch.eye(4, device=random.uniforms.device).expand(len(random.uniforms), 4, 4)
    for factor in (*_lightness(random, p, pipe), *([] if grey else _chroma(random, p, pipe))):
        transform = factor @ transform
    return transform


def _lightness(random: AugmentRandom, p: Tensor | float, pipe: AugmentPipe) -> list[Tensor]:
    factors = []
    if pipe.brightness > 0:
        shift = random.normal("brightness") * pipe.brightness_std
        factors.append(_brightness(where(random.happens("brightness", pipe.brightness * p), shift, 0.0)))
    if pipe.contrast > 0:
        gain = torch.exp2(random.normal("contrast") * pipe.contrast_std)
        factors.append(_contrast(where(random.happens("contrast", pipe.contrast * p), gain, 1.0)))
    if pipe.lumaflip > 0:
        flipped = random.happens("lumaflip", pipe.lumaflip * p) & (random.uniform("lumaflip.side") >= 0.5)
        factors.append(_luma_and_chroma(1.0 - 2.0 * flipped.float(), torch.ones_like(flipped, dtype=torch.float32)))
    return factors


def _chroma(random: AugmentRandom, p: Tensor | float, pipe: AugmentPipe) -> list[Tensor]:
    factors = []
    if pipe.hue > 0:
        angle = (2.0 * random.uniform("hue.angle") - 1.0) * math.pi * pipe.hue_max
        factors.append(_hue(where(random.happens("hue", pipe.hue * p), angle, 0.0)))
    if pipe.saturation > 0:
        gain = torch.exp2(random.normal("saturation") * pipe.saturation_std)
        gain = where(random.happens("saturation", pipe.saturation * p), gain, 1.0)
        factors.append(_luma_and_chroma(torch.ones_like(gain), gain))
    return factors


def _brightness(shift: Tensor) -> Tensor:
    return _homogeneous(torch.eye(3, device=shift.device).expand(len(shift), 3, 3), shift)


def _contrast(gain: Tensor) -> Tensor:
    return _homogeneous(torch.eye(3, device=gain.device) * gain[:, None, None], torch.zeros_like(gain))


def _luma_and_chroma(luma: Tensor, chroma: Tensor) -> Tensor:
    """Scale by ``luma`` [N] along the grey axis and by ``chroma`` [N] across it.

    Luma -1 is a reflection at the plane of no luma; both 1 is exactly the identity.
    """
    along = torch.full((3, 3), 1.0 / 3.0, device=luma.device)
    identity = torch.eye(3, device=luma.device)
    linear = identity + (luma - 1.0)[:, None, None] * along + (chroma - 1.0)[:, None, None] * (identity - along)
    return _homogeneous(linear, torch.zeros_like(luma))


def _hue(angle: Tensor) -> Tensor:
    """Rotation about the grey axis (Rodrigues): cos I + (1 - cos) v v' + sin [v]x, with v = (1, 1, 1) / sqrt 3."""
    identity = torch.eye(3, device=angle.device)
    along = torch.full((3, 3), 1.0 / 3.0, device=angle.device)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=angle.device) / math.sqrt(3.0)
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    return _homogeneous(identity + (cos - 1.0) * (identity - along) + sin * cross, torch.zeros_like(angle))


def _homogeneous(linear: Tensor, shift: Tensor) -> Tensor:
    """Matrices [N, 4, 4] of ``linear`` [N, 3, 3] followed by ``shift`` [N] of all three colours."""
    upper = torch.cat([linear, shift[:, None, None].expand(-1, 3, 1)], dim=2)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], device=shift.device).expand(len(shift), 1, 4)
    return torch.cat([upper, last], dim=1)
