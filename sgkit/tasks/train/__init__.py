"""Training as a task: configuration, the run, its pictures."""

from sgkit.tasks.train.result import TrainResult
from sgkit.tasks.train.task import train

__all__ = ["TrainResult", "train"]
