"""Training as a task: configuration, plan, the run, its pictures and its report."""

from sgkit.tasks.train.planning import PresetRow, TrainPlan, plan, preset_rows
from sgkit.tasks.train.result import TrainResult
from sgkit.tasks.train.task import train
from sgkit.training.health import Event

__all__ = ["Event", "PresetRow", "TrainPlan", "TrainResult", "plan", "preset_rows", "train"]
