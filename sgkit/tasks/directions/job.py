"""What all methods of finding directions share: samples of latents, layers, and how directions are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sgkit.edits import parse_layers
from sgkit.errors import UsageError
from sgkit.latents.directions import Directions, unit
from sgkit.latents.linear import Found
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, label_vector, seed_label
from sgkit.render.inputs import Inputs
from sgkit.runtime.progress import OnProgress
from sgkit.tasks.directions.settings import FindSettings

ARBITRARY = "the largest of its numbers is positive"


@dataclass(frozen=True)
class Job:
    """One search for directions."""

    inputs: Inputs
    settings: FindSettings
    labels: Path | None
    latents: tuple[Source, ...]
    plus: Any
    minus: Any
    on_progress: OnProgress

    @property
    def model(self) -> Model:
        """The model that is searched."""
        return self.inputs.only

    @property
    def in_z(self) -> bool:
        """Whether directions are of z: networks without a mapping have nothing else that is not normalised."""
        return self.model.config.mapping.num_layers == 0

    def layers(self) -> tuple[int, ...] | None:
        """The w of w+ that the settings name; ``None``: all."""
        text = self.settings.layers
        if text is None:
            return None
        plan = self.model.generator.synthesis.plan
        return parse_layers(text, plan).styles(plan)

    def facts(self, **more: Any) -> dict[str, Any]:
        """What the file tells of the search."""
        settings = self.settings
        plain = {"samples": settings.samples, "seed": settings.seed, "label": _plain(settings.label)}
        return {key: value for key, value in (plain | more).items() if value is not None}

    def seeds(self) -> range:
        """The seeds of the samples."""
        if self.settings.samples < 10:
            raise UsageError(f"samples is {self.settings.samples}; it must be 10 or more.")
        return range(self.settings.seed, self.settings.seed + self.settings.samples)

    def z(self) -> tuple[Tensor, Tensor | None]:
        """z [N, z_dim] and labels of the samples."""
        z, choice = self.model.sample_z(self.seeds()), self.settings.label
        if self.model.config.label_dim == 0:
            label_vector(self.model, choice)
            return z, None
        every = self.any_class()
        return z, torch.cat([seed_label(self.model, every, seed) for seed in self.seeds()])  # type: ignore[misc]

    def ws(self, z: Tensor, label: Tensor | None) -> Tensor:
        """w+ [N, num_ws, w_dim], without truncation."""
        parts = range(0, len(z), 1000)
        with torch.no_grad():
            return torch.cat(
                [self.model.map(z[i : i + 1000], None if label is None else label[i : i + 1000]) for i in parts]
            )

    def latent_rows(self) -> tuple[Literal["z", "w"], Tensor]:
        """The samples in the space that directions are of: [N, D]."""
        z, label = self.z()
        return ("z", z) if self.in_z else ("w", self.ws(z, label)[:, 0])

    def made(self, space: Any, vectors: Tensor, steps: Tensor | None, **facts: Any) -> Directions:
        """Directions of z or w, named."""
        layers = self.layers()
        if space == "z" and layers is not None:
            raise UsageError(
                "--layers has no effect here: this model has no mapping network, so its directions are of z, which "
                "has no layers. Remove --layers."
            )
        key = "z" if space == "z" else "w"
        every = {"method": self.settings.method, "model_hash": self.inputs.model_hash(self.model), "layers": layers}
        return unit({key: vectors}, space=space, steps=steps, **{**every, **facts})

    def numbered(self, space: Any, found: Found, rows: Tensor, measure: str, **facts: Any) -> Directions:
        """Directions with numbers for names, whose strength 1 is a deviation of ``rows`` along each."""
        count = len(found.vectors)
        return self.made(
            space,
            found.vectors,
            (rows.double().cpu() @ found.vectors.cpu().t()).std(dim=0),
            names=tuple(map(str, range(count))),
            signs=(ARBITRARY,) * count,
            explained=found.explained,
            settings=self.facts(measure=measure, **facts),
        )

    def any_class(self) -> LabelChoice | None:
        """The class of the samples' images; of a conditional model ``random`` unless one was chosen."""
        if self.model.config.label_dim > 0 and self.settings.label is None:
            return "random"
        return self.settings.label


def _plain(label: Any) -> Any:
    return list(label) if isinstance(label, (tuple, list)) else label
