"""Settings of pivotal tuning (``sgkit tune``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgkit.config.base import Config, Count, Positive, Text, Weight
from sgkit.config.project import ProjectSettings

_Times = Annotated[int, Field(ge=1, le=10**6)]


class TuneSettings(Config):
    """How a generator is tuned around pivots. The defaults are those of Roich et al. 2021, but for the loss."""

    steps: _Times = 350
    lr: Positive = 3e-4
    """Learning rate of Adam."""
    loss: Text = "both"
    """What likeness is: as :attr:`sgkit.config.project.ProjectSettings.loss`."""
    batch: _Times = 4
    """Pivots of a step; where there are more, they take turns."""
    locality: Weight = 0.1
    """Weight of the distance between the images of the model before and after, around the pivots; 0: off."""
    locality_distance: Positive = 30.0
    """How far from a pivot, towards a random w, that distance is taken: the length of the difference of w+ for 18 w of
    512 numbers; for others it grows with the root of their count."""
    locality_samples: _Times = 1
    """Such places for each step."""
    rank: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Keep the change of each weight matrix as a product of this rank; ``None``: exactly."""
    seed: Count = 0
    """Draws the random w and the order of the pivots."""

    def __post_init__(self) -> None:
        self.likeness()

    def likeness(self) -> ProjectSettings:
        """The settings of a projection with this loss.

        Raises:
            UsageError: the loss is unknown.
        """
        return ProjectSettings(loss=self.loss)
