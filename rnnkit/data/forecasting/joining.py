"""Series of several files, each of which continues the one before."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from rnnkit.data.forecasting.frame import Frame
from rnnkit.errors import UserError


def joined(parts: list[list[Frame]]) -> list[Frame]:
    """Join the series of several files, where each file continues the one before.

    Raises:
        UserError: a series in one file starts before its end in the previous file, or only some files have times.
    """
    found: dict[tuple[str, ...], list[Frame]] = {}
    for frames in parts:
        for frame in frames:
            found.setdefault(frame.ids, []).append(frame)
    return [_continued(frames) if len(frames) > 1 else frames[0] for frames in found.values()]


def _continued(frames: list[Frame]) -> Frame:
    kinds = {(frame.times is None, frame.offsets is None) for frame in frames}
    if len(kinds) > 1:
        got = "times or a zone in some of them only"
        raise UserError("data.time", "times of one kind in all files" + _of(frames[0]), got, fix="data.times.zone=UTC")
    for before, after in pairwise(frames):
        if before.times is not None and after.times is not None and after.times[0] <= before.times[-1]:
            names = ("data.train", "data.valid", "data.test")
            late, early = names[after.part[0]], names[before.part[-1]]
            raise UserError(
                late,
                f"times after those of {early}, whose last is {before.times[-1]}" + _of(before),
                f"{after.times[0]} as the first",
                fix="data.path=whole.csv with data.split.test_from=2024-12-31, to divide one file by time",
            )
    last = frames[-1]
    same = all(
        np.array_equal(frame.static, last.static, equal_nan=True)
        and np.array_equal(frame.static_categories, last.static_categories)
        for frame in frames
    )
    if not same:
        raise UserError(
            "data.covariates.static", "the same in all files" + _of(last), "other values", fix="one file for the series"
        )
    return replace(
        last,
        values=np.concatenate([frame.values for frame in frames], 1),
        times=None if last.times is None else np.concatenate([frame.times for frame in frames]),  # type: ignore[misc]
        offsets=None if last.offsets is None else np.concatenate([frame.offsets for frame in frames]),  # type: ignore[misc]
        numbers=np.concatenate([frame.numbers for frame in frames]),
        categories=np.concatenate([frame.categories for frame in frames]),
        part=np.concatenate([frame.part for frame in frames]),
    )


def _of(frame: Frame) -> str:
    return f" (series {frame.ids[0]})" if frame.ids[0] else ""
