"""Inputs of models with several tensors, and extra data for metrics."""

from typing import NamedTuple

import torch
from torch import Tensor


class ForecastInputs(NamedTuple):
    """B windows of time series, with the data known at the origin, the step after which the horizon begins.

    Values are float64, because a series may lie far above its spread. A model scales them by window
    (`rnnkit.layers.WindowScaling`) before it computes in the dtype of `time_deltas` and the covariates.

    Axes: B windows, T past steps, H future steps, C target channels; P, F, K, G, S, N covariates.

    Args:
        past: [B, T, C], the target channels up to the origin; NaN where missing or padded.
        past_covariates: [B, T, P], numeric covariates over the past; the last F of them are known for the future too.
        future_covariates: [B, H, F], those F over the horizon; NaN where missing, as in the past.
        past_categories: [B, T, K] int64 ids; the last G of them are known for the future too; 0 is unknown or missing.
        future_categories: [B, H, G], those G over the horizon.
        static: [B, S], numbers that are constant for a series.
        static_categories: [B, N] int64 ids that are constant for a series.
        time_deltas: [B, T], the time since the previous step in units of the frequency; 1 in regular series and at
            their start.
    """

    past: Tensor
    past_covariates: Tensor
    future_covariates: Tensor
    past_categories: Tensor
    future_categories: Tensor
    static: Tensor
    static_categories: Tensor
    time_deltas: Tensor

    @classmethod
    def of(cls, past_BTC: Tensor, horizon: int) -> "ForecastInputs":
        """Return windows with values only, without covariates.

        >>> import torch
        >>> ForecastInputs.of(torch.rand(2, 5, 1), horizon=3).future_covariates.shape
        torch.Size([2, 3, 0])
        """
        rows, steps, _ = past_BTC.shape
        past, future = past_BTC.new_zeros(rows, steps, 0), past_BTC.new_zeros(rows, horizon, 0)
        static = past_BTC.new_zeros(rows, 0)
        return cls(
            past=past_BTC,
            past_covariates=past,
            future_covariates=future,
            past_categories=past.long(),
            future_categories=future.long(),
            static=static,
            static_categories=static.long(),
            time_deltas=past_BTC.new_ones(rows, steps),
        )


class ForecastExtra(NamedTuple):
    """The units of B windows, and their places in their series. No model reads it.

    All tensors except `origin` are float64, like the values.

    Args:
        location, scale: [B, C]; a value in the units of the file is `location + scale * value`.
        origin: [B] int64, the number of steps of the series before the horizon, which defines the phase of the season.
        seasonal_error: [B, C], the mean absolute difference of training values a season apart, in units of the batch;
            NaN if there are none.
    """

    location: Tensor
    scale: Tensor
    origin: Tensor
    seasonal_error: Tensor

    @classmethod
    def of(cls, past_BTC: Tensor) -> "ForecastExtra":
        """Return the units of windows that are in those of the file, at the start of series without training values.

        >>> import torch
        >>> ForecastExtra.of(torch.rand(2, 5, 1)).origin
        tensor([5, 5])
        """
        rows, steps, channels = past_BTC.shape
        unit = past_BTC.new_ones(rows, channels)
        origin = torch.full((rows,), steps, device=past_BTC.device)
        return cls(torch.zeros_like(unit), unit, origin, torch.full_like(unit, torch.nan))


class TokenInputs(NamedTuple):
    """B sentences of T tokens. The characters of each distinct word of the batch are stored once.

    Axes: B sentences, T tokens, U distinct words, K characters.

    Args:
        words: [B, T] int64 ids; 0 is a word that does not occur in training, and padding.
        vectors: [B, T] int64 rows of a table of given word vectors; 0 is a word without one, and padding.
        word_index: [B, T] int64, the index of each token's word among the distinct words.
        characters: [U, K] int64 ids of the characters of the distinct words; 0 is padding.
        sizes: [U] int64, the number of characters of each distinct word.
    """

    words: Tensor
    vectors: Tensor
    word_index: Tensor
    characters: Tensor
    sizes: Tensor

    def take(self, rows: Tensor) -> "TokenInputs":
        """Return some of the sentences; the distinct words remain those of the whole batch."""
        words, vectors, word_index = (ids[rows] for ids in (self.words, self.vectors, self.word_index))
        return TokenInputs(words, vectors, word_index, self.characters, self.sizes)


class TagExtra(NamedTuple):
    """The baseline of B sentences. No model reads it.

    Args:
        most_frequent_tag: [B, T] int64, the most frequent tag of each word in training.
    """

    most_frequent_tag: Tensor
