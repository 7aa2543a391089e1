"""Tasks: LightningModules with a loss, metrics, carried state and decoding."""

from rnnkit.tasks.base import Task
from rnnkit.tasks.classification import Classification
from rnnkit.tasks.forecasting import Forecasting
from rnnkit.tasks.generation import generate
from rnnkit.tasks.language_modeling import LanguageModeling
from rnnkit.tasks.regression import Regression
from rnnkit.tasks.streaming import StreamTask
from rnnkit.tasks.tagging import Tagging

__all__ = [
    "Classification",
    "Forecasting",
    "LanguageModeling",
    "Regression",
    "StreamTask",
    "Tagging",
    "Task",
    "generate",
]
