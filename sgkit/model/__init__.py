"""The core: plans, layers and the walk, shared by every command and every architecture."""

from sgkit.model.canvas import Axis, Canvas, Side
from sgkit.model.discriminator import Discriminator
from sgkit.model.encoder import Encoder, new_encoder
from sgkit.model.finite import finite, not_finite
from sgkit.model.generator import Generator
from sgkit.model.mapping import Mapping, truncate
from sgkit.model.model import Model, ModelInfo, build, content_hash
from sgkit.model.network import Execution, PlannedNetwork
from sgkit.model.noise import (
    MapNoise,
    NoiseSource,
    NoNoise,
    SeededNoise,
    StoredNoise,
    hashed_normal,
    noise_source,
)
from sgkit.model.plan import discriminator_plan, grown_size, num_ws, synthesis_plan, used_ws
from sgkit.model.spec import LayerSpec, Plan, plan_difference
from sgkit.model.statistics import follow_statistics, observed_statistics, tracking
from sgkit.model.synthesis import Synthesis
from sgkit.model.walk import Branch, Edit, FeatureEdit, Network, State, StyleMap, Styles, bound, keep, steps, walk

__all__ = [
    "Axis",
    "Branch",
    "Canvas",
    "Discriminator",
    "Edit",
    "Encoder",
    "Execution",
    "FeatureEdit",
    "Generator",
    "LayerSpec",
    "MapNoise",
    "Mapping",
    "Model",
    "ModelInfo",
    "Network",
    "NoNoise",
    "NoiseSource",
    "Plan",
    "PlannedNetwork",
    "SeededNoise",
    "Side",
    "State",
    "StoredNoise",
    "StyleMap",
    "Styles",
    "Synthesis",
    "bound",
    "build",
    "content_hash",
    "discriminator_plan",
    "finite",
    "follow_statistics",
    "grown_size",
    "hashed_normal",
    "keep",
    "new_encoder",
    "noise_source",
    "not_finite",
    "num_ws",
    "observed_statistics",
    "plan_difference",
    "steps",
    "synthesis_plan",
    "tracking",
    "truncate",
    "used_ws",
    "walk",
]
