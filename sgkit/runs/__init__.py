"""A training run on disk: its configuration, snapshots, log, metrics and report."""

from sgkit.runs.estimate import TrainPlan, plan
from sgkit.runs.presets import PresetRow, preset_rows
from sgkit.runs.run import TrainResult
from sgkit.runs.task import train
from sgkit.training.health import Event

__all__ = ["Event", "PresetRow", "TrainPlan", "TrainResult", "plan", "preset_rows", "train"]
