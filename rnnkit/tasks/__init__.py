"""Tasks: LightningModules with a loss, metrics, carried state and decoding."""

from rnnkit.tasks.base import Task
from rnnkit.tasks.generation import generate
from rnnkit.tasks.language_modeling import LanguageModeling
from rnnkit.tasks.streaming import StreamTask

__all__ = ["LanguageModeling", "StreamTask", "Task", "generate"]
