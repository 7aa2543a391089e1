"""Covariates as numeric inputs of a recurrent layer."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from rnnkit.batch import ForecastInputs


class Covariates(nn.Module):
    """Numeric covariates with a mask of missing values, embeddings of categories, and static ones at every step.

    A category of V values has an embedding of about V / 2 features, 16 at most. Categories that are known for the
    future have the same embedding in the past.

    Args:
        past, future: the numbers of numeric covariates that are known in the past, and for the future.
        past_categories, future_categories: the number of values of each categorical one.
        static, static_categories: the same for covariates that are constant for a series.

    >>> covariates = Covariates(past=2, future=1, static_categories=[5])
    >>> covariates.past_size, covariates.future_size
    (7, 5)
    """

    def __init__(
        self,
        past: int = 0,
        future: int = 0,
        past_categories: Sequence[int] = (),
        future_categories: Sequence[int] = (),
        static: int = 0,
        static_categories: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(_embedding(size) for size in past_categories)
        self.static_embeddings = nn.ModuleList(_embedding(size) for size in static_categories)
        self.known = len(future_categories)
        fixed = static + _width(self.static_embeddings)
        self.past_size = 2 * past + _width(self.embeddings) + fixed
        self.future_size = 2 * future + _width(self._of_future()) + fixed

    def past(self, inputs: ForecastInputs) -> Tensor:
        """Return [B, T, past_size]."""
        categories = inputs.past_categories
        return self._joined(inputs, inputs.past_covariates, categories, list(self.embeddings))

    def future(self, inputs: ForecastInputs) -> Tensor:
        """Return [B, H, future_size]."""
        return self._joined(inputs, inputs.future_covariates, inputs.future_categories, self._of_future())

    def known_past(self, inputs: ForecastInputs) -> Tensor:
        """Return [B, T, future_size]: the covariates known for the future, over the past."""
        numbers = inputs.past_covariates[..., inputs.past_covariates.shape[2] - inputs.future_covariates.shape[2] :]
        categories = inputs.past_categories[..., inputs.past_categories.shape[2] - self.known :]
        return self._joined(inputs, numbers, categories, self._of_future())

    def _of_future(self) -> list[nn.Module]:
        return list(self.embeddings)[len(self.embeddings) - self.known :]

    def _joined(
        self, inputs: ForecastInputs, numbers_BTP: Tensor, categories_BTK: Tensor, embeddings: list[nn.Module]
    ) -> Tensor:
        fixed = [inputs.static.nan_to_num(nan=0.0)]
        fixed += [layer(inputs.static_categories[:, i]) for i, layer in enumerate(self.static_embeddings)]
        fixed_BTS = torch.cat(fixed, -1)[:, None].expand(-1, numbers_BTP.shape[1], -1)
        parts = [numbers_BTP.nan_to_num(nan=0.0), numbers_BTP.isnan().to(numbers_BTP.dtype)]
        parts += [layer(categories_BTK[..., i]) for i, layer in enumerate(embeddings)]
        return torch.cat([*parts, fixed_BTS], -1)


def _embedding(values: int) -> nn.Embedding:
    return nn.Embedding(values, min(16, (values + 1) // 2))


def _width(embeddings: Iterable[nn.Module]) -> int:
    return sum(layer.embedding_dim for layer in embeddings if isinstance(layer, nn.Embedding))
