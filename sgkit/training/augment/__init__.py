"""Augmentation of what D sees: the adaptive pipeline (Karras et al. 2020), its controller, and DiffAugment.

All of it is tensor code, differentiable twice; random numbers come in as arguments.
"""

from sgkit.training.augment.controller import Controller, next_p
from sgkit.training.augment.diffaugment import DiffAugmentRandom, diffaugment
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.pipeline import augment, augmented, blurred
from sgkit.training.augment.random import AugmentRandom

__all__ = [
    "AugmentPipe",
    "AugmentRandom",
    "Controller",
    "DiffAugmentRandom",
    "augment",
    "augmented",
    "blurred",
    "diffaugment",
    "next_p",
]
