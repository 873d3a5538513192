"""Projection: the latents and noise maps whose picture comes closest to a given one (StyleGAN2, appendix D)."""

from sgkit.config.encoder import EncoderSettings
from sgkit.config.project import ProjectSettings
from sgkit.config.tune import TuneSettings
from sgkit.inversion.distributions import LatentDistribution
from sgkit.inversion.drag import Dragged, DragSettings, drag
from sgkit.inversion.drag_task import DragResult, drag_files, drag_latents
from sgkit.inversion.encoder_file import load_encoder, save_encoder
from sgkit.inversion.encoder_task import EncoderResult, train_encoder
from sgkit.inversion.losses import Distance, distance_to, feature_layers, features_distance, pixel_error
from sgkit.inversion.noise import noise_penalty
from sgkit.inversion.optimize import Projection, search
from sgkit.inversion.results import ProjectedImage, ProjectResult, UnusableImage
from sgkit.inversion.schedules import exploration, learning_rate
from sgkit.inversion.targets import Fitting, Target, read_targets, target_images
from sgkit.inversion.task import project, project_files
from sgkit.inversion.tune_task import TuneResult, tune_files
from sgkit.inversion.tuning import tune

__all__ = [
    "Distance",
    "DragResult",
    "DragSettings",
    "Dragged",
    "EncoderResult",
    "EncoderSettings",
    "Fitting",
    "LatentDistribution",
    "ProjectResult",
    "ProjectSettings",
    "ProjectedImage",
    "Projection",
    "Target",
    "TuneResult",
    "TuneSettings",
    "UnusableImage",
    "distance_to",
    "drag",
    "drag_files",
    "drag_latents",
    "exploration",
    "feature_layers",
    "features_distance",
    "learning_rate",
    "load_encoder",
    "noise_penalty",
    "pixel_error",
    "project",
    "project_files",
    "read_targets",
    "save_encoder",
    "search",
    "target_images",
    "train_encoder",
    "tune",
    "tune_files",
]
