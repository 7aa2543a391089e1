"""The default data of the regression task: the length of an event in a noisy series."""

from typing import Any, Literal

import numpy as np

from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.series import SeriesLabelData


class EventLength(SeriesLabelData):
    r"""Noise with one cylinder, bell or funnel (Saito 1994). The target is the length of that event in steps.

    .. math:: x_t = \epsilon_t + (6 + \eta) \, s_t \, [a \le t < b], \qquad y = b - a

    where :math:`s_t` is constant, rises from 0 to 1 or falls from 1 to 0, and :math:`\eta` and :math:`\epsilon_t` are
    standard normal. Series have 64 to 128 steps and events 8 to 48, at random positions. The start of a bell and the
    end of a funnel are hidden in the noise, so that no predictor can be exact.

    There are 2,000 training, 500 validation and 500 test series, equal on every machine and for every seed. Other
    files, and predictions, have the formats of `SeriesLabelData`.

    >>> data = EventLength()
    >>> data.setup()
    >>> [len(data.splits[name]) for name in ("train", "valid", "test")], data.model_kwargs
    ([2000, 500, 500], {'input_size': 1, 'outputs': 1})
    >>> 20 < data.task_kwargs["location"] < 35
    True
    """

    def __init__(self, *, target: Literal["number", "curve", "label"] = "number", **others: Any) -> None:
        super().__init__(target=target, **others)

    def own_splits(self) -> dict[str, list[Labeled]]:
        random = np.random.default_rng(0)
        sizes = {"train": 2000, "valid": 500, "test": 500}
        return {name: [_series(random, n) for n in range(size)] for name, size in sizes.items()}


def _series(random: np.random.Generator, number: int) -> Labeled:
    steps = int(random.integers(64, 129))
    length = int(random.integers(8, 49))
    start = int(random.integers(0, steps - length + 1))
    rising = (np.arange(length) + 0.5) / length
    shape = (np.ones(length), rising, 1 - rising)[random.integers(3)]
    values_T = random.standard_normal(steps)
    values_T[start : start + length] += (6 + random.standard_normal()) * shape
    return Labeled(values_T[:, None].astype(np.float32), length, number, f"series {number}")
