"""Standardization of channels, with masks for missing values."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

import numpy as np
import torch
from annotated_types import MinLen

from rnnkit.data.labeled.example import Labeled
from rnnkit.data.loading.moments import mean_and_deviation
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.ranges import NonNegativeInt, Positive, PositiveInt


class LearnedChannels(TypedDict):
    """The result of `Standardize.learn`."""

    channels: PositiveInt
    kept: Annotated[list[NonNegativeInt], MinLen(1)]
    masked: list[NonNegativeInt]
    mean: list[float]
    scale: list[Positive]


class Standardize:
    r"""Standardization of each channel to mean 0 and standard deviation 1 over the training values.

    .. math::
        x'_{t,i} = (x_{t,i} - \mu_i) / \sigma_i

    Missing values do not contribute to the mean and the deviation. Channels that are constant or empty in training are
    dropped, and their numbers are printed.

    A missing value becomes 0, which is the mean. An additional channel, the mask, is 1 where a value is missing and 0
    elsewhere.

    Args:
        mask_all: whether every channel has a mask. Otherwise, only channels with missing values in training have one.

    >>> import numpy as np
    >>> series = [Labeled(np.array([[1, 5], [np.nan, 5], [3, 5]]), None, n, "") for n in range(2)]
    >>> standardize = Standardize()
    >>> _ = standardize.learn(series)
    >>> standardize.encode(series[0])  # the second channel is constant and dropped
    tensor([[-1.,  0.],
            [ 0.,  1.],
            [ 1.,  0.]])
    """

    def __init__(self, *, mask_all: bool = False) -> None:
        self._mask_all = mask_all
        self._channels = 0
        self._kept: list[int] = []
        self._masked: list[int] = []  # indices among the kept channels
        self._mean_I = self._scale_I = np.zeros(0)

    @property
    def width(self) -> int:
        """The number of channels I, including masks."""
        return len(self._kept) + len(self._masked)

    def learn(self, train: Sequence[Labeled]) -> dict[str, Any]:
        """Compute means and deviations, and return them as JSON values.

        Raises:
            UserError: series have different numbers of channels, or no channel is left.
        """
        self._channels = train[0].inputs.shape[1]
        for example in train:
            self._check_channels(example)
        values_NI = np.concatenate([example.inputs for example in train]).astype(np.float64)
        missing_I = np.logical_or.reduce(np.isnan(values_NI))
        low_I, high_I = np.fmin.reduce(values_NI), np.fmax.reduce(values_NI)
        dead_I = np.logical_not(low_I < high_I)  # NaN if all values are missing
        self._kept = np.flatnonzero(~dead_I).tolist()
        if not self._kept:
            fix = "another data.channels, or training data that change"
            raise UserError("data", "a channel that changes in training", "none", fix=fix)
        if dead_I.any():
            names = ", ".join(map(str, np.flatnonzero(dead_I)))
            notice(f"constant or empty in training and dropped: channel {names} (from 0)")
        kept_NI = values_NI[:, self._kept]
        known = [values_N[~np.isnan(values_N)] for values_N in kept_NI.T]
        self._mean_I, self._scale_I = np.array([mean_and_deviation(values_N) for values_N in known]).T
        self._masked = [place for place, i in enumerate(self._kept) if missing_I[i] or self._mask_all]
        if missing_I.any():
            count = int(np.isnan(values_NI).sum())
            notice(f"{count:,} of {values_NI.size:,} values are missing in training; masks are added")
        return {
            "channels": self._channels,
            "kept": self._kept,
            "masked": self._masked,
            "mean": self._mean_I.tolist(),
            "scale": self._scale_I.tolist(),
        }

    def check_learned(self, learned: Mapping[str, Any]) -> None:
        """Raise ValueError if the content of a file, with the types of `LearnedChannels`, is inconsistent."""
        kept, masked = learned["kept"], learned["masked"]
        if kept != sorted(set(kept)) or kept[-1] >= learned["channels"]:
            raise ValueError(f"inputs.kept is not an ascending list of channels below {learned['channels']}")
        if masked != sorted(set(masked)) or (masked and masked[-1] >= len(kept)):
            raise ValueError(f"inputs.masked is not an ascending list of places below {len(kept)}")
        if not len(learned["mean"]) == len(learned["scale"]) == len(kept):
            raise ValueError(f"inputs.mean and inputs.scale are not of {len(kept)} channels")
        if self._mask_all and len(masked) < len(kept):
            raise ValueError("inputs.masked lacks a channel, but data.missing=mask_all")

    def restore(self, learned: Mapping[str, Any]) -> None:
        """Restore the result of `learn`."""
        self._channels = int(learned["channels"])
        self._kept, self._masked = list(learned["kept"]), list(learned["masked"])
        self._mean_I, self._scale_I = np.array(learned["mean"]), np.array(learned["scale"])

    def encode(self, example: Labeled) -> torch.Tensor:
        """The standardized values of an example [T, I], float32.

        Raises:
            UserError: the number of channels differs from that of training, or a value is missing in a channel without
                a mask.
        """
        self._check_channels(example)
        with np.errstate(over="ignore"):
            values_TI = (example.inputs[:, self._kept] - self._mean_I) / self._scale_I
        missing_TI = np.isnan(values_TI)
        large_TI = np.abs(values_TI) > np.finfo(np.float32).max
        if large_TI.any():
            step, place = np.argwhere(large_TI)[0].tolist()
            channel = self._kept[place]
            raise UserError(
                "data",
                "values within 3.4e38 standard deviations of those in training",
                f"{example.inputs[step, channel]:g} in channel {channel} (from 0) at {example.place}",
                fix="an empty cell instead, or data.channels=[...] without the channel",
            )
        if missing_TI.any():
            unmasked = set(np.flatnonzero(missing_TI.any(0)).tolist()) - set(self._masked)
            if unmasked:
                channel = self._kept[min(unmasked)]
                raise UserError(
                    "data",
                    "no missing values in a channel without missing values in training",
                    f"one in channel {channel} (from 0) at {example.place}",
                    fix="data.missing=mask_all and training again",
                )
            values_TI = np.where(missing_TI, 0, values_TI)
        if self._masked:
            values_TI = np.concatenate([values_TI, missing_TI[:, self._masked]], 1)
        return torch.from_numpy(values_TI).float()

    def _check_channels(self, example: Labeled) -> None:
        if example.inputs.shape[1] != self._channels:
            got = f"{example.inputs.shape[1]} at {example.place}"
            raise UserError("data", f"{self._channels} channels in every series", got, fix="data.channels=[...]")
