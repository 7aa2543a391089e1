"""Channels at mean 0 and deviation 1, missing values in the open."""

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
    """What `Standardize.learn` returns."""

    channels: PositiveInt
    kept: Annotated[list[NonNegativeInt], MinLen(1)]
    masked: list[NonNegativeInt]
    mean: list[float]
    scale: list[Positive]


class Standardize:
    r"""Values as the training values are at mean 0 and deviation 1, channel by channel.

    .. math::
        x'_{t,i} = (x_{t,i} - \mu_i) / \sigma_i

    with the mean and deviation of the training values that are there. Channels that never change in training, or have
    no value there, say nothing and are dropped, which is told.

    A missing value becomes 0, the mean, and a further channel, the mask, is 1 where one is missing and else 0. Channels
    of which training misses values have a mask, or with `mask_all` every channel.

    >>> import numpy as np
    >>> series = [Labeled(np.array([[1, 5], [np.nan, 5], [3, 5]]), None, n, "") for n in range(2)]
    >>> standardize = Standardize()
    >>> _ = standardize.learn(series)
    >>> standardize.encode(series[0])  # of the second channel nothing is left
    tensor([[-1.,  0.],
            [ 0.,  1.],
            [ 1.,  0.]])
    """

    def __init__(self, *, mask_all: bool = False) -> None:
        self._mask_all = mask_all
        self._channels = 0
        self._kept: list[int] = []
        self._masked: list[int] = []  # of those kept
        self._mean_I = self._scale_I = np.zeros(0)

    @property
    def width(self) -> int:
        """I, masks included."""
        return len(self._kept) + len(self._masked)

    def learn(self, train: Sequence[Labeled]) -> dict[str, Any]:
        """Takes means and deviations; returns them as plain JSON values.

        Raises UserError for series that differ in their number of channels, and where no channel is left.
        """
        self._channels = train[0].inputs.shape[1]
        for example in train:
            self._check_channels(example)
        values_NI = np.concatenate([example.inputs for example in train]).astype(np.float64)
        missing_I = np.logical_or.reduce(np.isnan(values_NI))
        low_I, high_I = np.fmin.reduce(values_NI), np.fmax.reduce(values_NI)
        dead_I = np.logical_not(low_I < high_I)  # NaN where all are missing
        self._kept = np.flatnonzero(~dead_I).tolist()
        if not self._kept:
            fix = "another data.channels, or training data that change"
            raise UserError("data", "a channel that changes in training", "none", fix=fix)
        if dead_I.any():
            names = ", ".join(map(str, np.flatnonzero(dead_I)))
            notice(f"constant or empty in training and left out: channel {names} (from 0)")
        kept_NI = values_NI[:, self._kept]
        known = [values_N[~np.isnan(values_N)] for values_N in kept_NI.T]
        self._mean_I, self._scale_I = np.array([mean_and_deviation(values_N) for values_N in known]).T
        self._masked = [place for place, i in enumerate(self._kept) if missing_I[i] or self._mask_all]
        if missing_I.any():
            count = int(np.isnan(values_NI).sum())
            notice(f"{count:,} of {values_NI.size:,} values are missing in training; masks mark them")
        return {
            "channels": self._channels,
            "kept": self._kept,
            "masked": self._masked,
            "mean": self._mean_I.tolist(),
            "scale": self._scale_I.tolist(),
        }

    def check_learned(self, learned: Mapping[str, Any]) -> None:
        """Raises ValueError where what a file holds, of the types of `LearnedChannels`, contradicts itself."""
        kept, masked = learned["kept"], learned["masked"]
        if kept != sorted(set(kept)) or kept[-1] >= learned["channels"]:
            raise ValueError(f"inputs.kept is not an ascending list of channels below {learned['channels']}")
        if masked != sorted(set(masked)) or (masked and masked[-1] >= len(kept)):
            raise ValueError(f"inputs.masked is not an ascending list of places below {len(kept)}")
        if not len(learned["mean"]) == len(learned["scale"]) == len(kept):
            raise ValueError(f"inputs.mean and inputs.scale are not of {len(kept)} channels")
        if self._mask_all and len(masked) < len(kept):
            raise ValueError("inputs.masked lacks a channel beside data.missing=mask_all")

    def restore(self, learned: Mapping[str, Any]) -> None:
        """Takes back what `learn` returned."""
        self._channels = int(learned["channels"])
        self._kept, self._masked = list(learned["kept"]), list(learned["masked"])
        self._mean_I, self._scale_I = np.array(learned["mean"]), np.array(learned["scale"])

    def encode(self, example: Labeled) -> torch.Tensor:
        """The values of an example, [T, I] float32.

        Raises UserError for another number of channels than in training, and a value that is missing in a channel of
        which training misses none.
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
                fix="an empty cell in its place, or data.channels=[...] without the channel",
            )
        if missing_TI.any():
            unmasked = set(np.flatnonzero(missing_TI.any(0)).tolist()) - set(self._masked)
            if unmasked:
                channel = self._kept[min(unmasked)]
                raise UserError(
                    "data",
                    "no missing values in a channel of which training misses none",
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
