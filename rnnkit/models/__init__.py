"""Models: input -> layers -> output. They know no loss, no Lightning and no Hydra."""

from rnnkit.models.language_model import LanguageModel

__all__ = ["LanguageModel"]
