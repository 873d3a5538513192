"""Training as a task: configuration, plan, the run, its pictures and its report."""

from sgkit.runs.estimate import PresetRow, TrainPlan, plan, preset_rows
from sgkit.runs.result import TrainResult
from sgkit.runs.task import train
from sgkit.training.health import Event

__all__ = ["Event", "PresetRow", "TrainPlan", "TrainResult", "plan", "preset_rows", "train"]
