"""Scaling and encoding of series as tensors, learned from the training part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.data.forecasting.calendar import calendar_features
from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.resolution import check_resolution
from rnnkit.data.forecasting.scaling import location_and_scale
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice


@dataclass
class Encoded:
    """A panel as tensors, with scaled values, ids of categories, standardized covariates and calendar features.

    Attributes:
        values: [V, C] float64.
        numbers: numeric covariates [W, P], known ones last.
        categories: ids of categorical covariates [W, K], known ones last.
        static: numeric static covariates [S, F].
        static_categories: ids of categorical static covariates [S, G].
        location: [S, C] float64.
        scale: [S, C] float64.
    """

    values: Tensor
    numbers: Tensor
    categories: Tensor
    gaps: Tensor
    starts: Tensor
    clock_starts: Tensor
    static: Tensor
    static_categories: Tensor
    location: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Encoding:
    """The results of learning from the training part.

    Attributes:
        location: for each series, a list over channels.
        scale: for each series, a list over channels.
        numbers: the mean and deviation of each numeric covariate.
        static: the mean and deviation of each numeric static covariate.
        vocabularies: the known names of each categorical covariate. Id 0 is for all other names.
        static_vocabularies: the same for static covariates.
        calendar: the names of the calendar features that are added to the known covariates.
    """

    location: Mapping[str, Sequence[float]]
    scale: Mapping[str, Sequence[float]]
    numbers: Sequence[tuple[float, float]]
    static: Sequence[tuple[float, float]]
    vocabularies: Sequence[Sequence[str]]
    static_vocabularies: Sequence[Sequence[str]]
    calendar: Sequence[str]


def learn(
    panel: Panel, ends_S: NDArray[np.int64], scaling: str, channels: Sequence[str], calendar: Sequence[str]
) -> Encoding:
    """Learn the encoding from the first `ends_S` steps of each series. Series without such steps are skipped.

    Raises:
        UserError: a channel has no value.
    """
    kept = np.flatnonzero(ends_S).tolist()
    pairs = {panel.ids[series]: observed_scale(panel, series, ends_S[series], scaling, channels) for series in kept}
    training = [panel.of_series(series, ends_S[series]) for series in kept]
    if scaling == "none":
        size = np.median(
            np.abs(np.concatenate([x_NC[np.isfinite(x_NC) & (x_NC != 0)] for x_NC in training] or [[1.0]]))
        )
        if not 1e-15 <= size <= 1e15:
            notice(f"data.scaling=none: losses for values around {size:.0e} underflow or overflow in training")
    constant = sum(int((np.nanmin(x_NC, 0) == np.nanmax(x_NC, 0)).sum()) for x_NC in training)
    if constant:
        notice(f"constant in training, and not rescaled: {counted(constant, 'channel')}")
    parts = list({id(panel.frames[series]): (panel.frames[series], ends_S[series]) for series in kept}.values())
    return Encoding(
        location={name: location_C.tolist() for name, (location_C, _) in pairs.items()},
        scale={name: scale_C.tolist() for name, (_, scale_C) in pairs.items()},
        numbers=_statistics(np.concatenate([frame.numbers[:end] for frame, end in parts])),
        static=_statistics(np.stack([frame.static for frame, _ in parts])),
        vocabularies=_vocabularies(np.concatenate([frame.categories[:end] for frame, end in parts])),
        static_vocabularies=_vocabularies(np.stack([frame.static_categories for frame, _ in parts])),
        calendar=calendar,
    )


def observed_scale(
    panel: Panel, series: int, until: int, scaling: str, channels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Location and scale of the first steps of a series.

    Raises:
        UserError: a channel has no value in these steps.
    """
    location_C, scale_C = location_and_scale(panel.of_series(series, until), scaling)
    if np.isnan(scale_C).any():
        name = panel.ids[series]
        raise UserError(
            "data.target",
            "at least one value in every channel of every series before the first forecast",
            f"none in {channels[int(np.isnan(scale_C).argmax())]!r}" + (f" of series {name}" if name else ""),
            fix="data.target=[...] without it, or a file without the series",
        )
    return location_C, scale_C


def encode(
    panel: Panel, encoding: Encoding, firsts: Mapping[int, int], scaling: str, channels: Sequence[str]
) -> Encoded:
    """Encode a panel as tensors.

    Args:
        panel: the series.
        encoding: the encoding.
        firsts: the step of the first forecast of each series that is used.
        scaling: the kind of scaling.
        channels: the names of the channels.

    Raises:
        UserError: a series is not in the training data and has no value before its first forecast.
    """
    location_SC, scale_SC = _scales(panel, encoding, firsts, scaling, channels)
    frames = panel.own_frames()
    numbers = np.concatenate([frame.numbers for frame in frames])
    categories = np.concatenate([frame.categories for frame in frames])
    parts = [_standardized(numbers, encoding.numbers)]
    if encoding.calendar:
        parts.append(np.concatenate([_calendar(frame, encoding.calendar) for frame in frames]))
    with np.errstate(over="ignore"):
        scaled = (panel.values - location_SC.repeat(panel.lengths, 0)) / scale_SC.repeat(panel.lengths, 0)
    check_resolution(scaled, scale_SC, panel, scaling)
    return Encoded(
        values=torch.from_numpy(scaled),
        numbers=_float(np.concatenate(parts, 1)),
        categories=_ids(categories, encoding.vocabularies),
        gaps=_float(panel.gaps),
        starts=torch.from_numpy(panel.starts),
        clock_starts=torch.from_numpy(panel.clock_starts),
        static=_float(_standardized(np.stack([frame.static for frame in panel.frames]), encoding.static)),
        static_categories=_ids(
            np.stack([frame.static_categories for frame in panel.frames]), encoding.static_vocabularies
        ),
        location=torch.from_numpy(location_SC),
        scale=torch.from_numpy(scale_SC),
    )


def _scales(
    panel: Panel, encoding: Encoding, firsts: Mapping[int, int], scaling: str, channels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The learned location and scale or, for a new series, those of its steps before the first forecast."""
    location_SC, scale_SC = np.zeros((len(panel), len(channels))), np.ones((len(panel), len(channels)))
    new = 0
    for series, name in enumerate(panel.ids):
        if name in encoding.location:
            location_SC[series], scale_SC[series] = encoding.location[name], encoding.scale[name]
        elif series in firsts:
            location_SC[series], scale_SC[series] = observed_scale(panel, series, firsts[series], scaling, channels)
            new += 1
    if new:
        notice(f"{new:,} series are not in the training data and are scaled by their own past")
    return location_SC, scale_SC


def _statistics(numbers: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Mean and deviation of each column; 0 and 1 for a column without values."""
    found = [location_and_scale(column[:, None], "standard") for column in numbers.T]
    return [(0.0, 1.0) if np.isnan(scale[0]) else (float(location[0]), float(scale[0])) for location, scale in found]


def _vocabularies(words: NDArray[np.object_]) -> list[list[str]]:
    return [sorted({word for word in column.tolist() if word is not None}) for column in words.T]


def _calendar(frame: Frame, names: Sequence[str]) -> NDArray[np.float32]:
    return calendar_features(frame.local, list(names))


def _standardized(numbers: NDArray[np.float64], statistics: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    mean, deviation = np.array(statistics, np.float64).reshape(-1, 2).T
    with np.errstate(over="ignore"):
        standardized = (numbers - mean) / deviation
    large = np.abs(standardized) > np.finfo(np.float32).max
    if large.any():
        raise UserError(
            "data.covariates.past, data.covariates.known or data.covariates.static",
            "values within 3.4e38 standard deviations of those in training",
            f"{numbers[large][0]:g}",
            fix="an empty cell instead, or no such covariate",
        )
    return standardized


def _ids(words: NDArray[np.object_], vocabularies: Sequence[Sequence[str]]) -> Tensor:
    ids = np.zeros(words.shape, np.int64)
    for column, vocabulary in enumerate(vocabularies):
        known = {word: number for number, word in enumerate(vocabulary, start=1)}
        ids[:, column] = [known.get(word, 0) for word in words[:, column].tolist()]
    return torch.from_numpy(ids)


def _float(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
