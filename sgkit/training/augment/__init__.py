"""Augmentation of what D sees: the adaptive pipeline (Karras et al. 2020), its controller, and DiffAugment.

All of it is tensor code, differentiable twice; random numbers come in as arguments.
"""

from sgkit.training.augment.controller import Controller, next_p
from sgkit.training.augment.diffaugment import DiffAugmentDraws, diffaugment
from sgkit.training.augment.draws import AugmentDraws
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.pipeline import Augmentation, augment

__all__ = [
    "AugmentDraws",
    "AugmentPipe",
    "Augmentation",
    "Controller",
    "DiffAugmentDraws",
    "augment",
    "diffaugment",
    "next_p",
]
