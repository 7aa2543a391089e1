"""Tasks: LightningModules with a loss, metrics, carried state and decoding."""

from rnnkit.tasks.base import SequenceTask
from rnnkit.tasks.generation import generate
from rnnkit.tasks.language_modeling import LanguageModeling

__all__ = ["LanguageModeling", "SequenceTask", "generate"]
