"""Windows for truncated BPTT: a long text is divided into lanes, and the lanes into consecutive windows."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.data.corpus.window_lengths import random_lengths
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt, PositiveInt

AHEAD = 1 << 20
"""Tokens over all lanes that are read at a time, or one window if that is more."""


class WindowPosition(TypedDict):
    """The result of `Windows.state_dict`. `epoch` is present only with random steps."""

    window: NonNegativeInt
    tokens: PositiveInt
    lanes: PositiveInt
    steps: PositiveInt
    epoch: NotRequired[NonNegativeInt]


class Windows:
    """Windows of one epoch over a text: an iterable of `SequenceBatch` with a length and a position.

    N tokens make N - 1 predictions. They are divided into `lanes` contiguous parts whose sizes differ by at most one.
    Every window has the next `steps` predictions of each lane. Each token but the first is a target exactly once per
    epoch, and the final state of one window is the initial state of the next. The last window has the remaining steps.

    `inputs` and `targets` are [B, T] int64. `lengths` is None if all lanes are full. In the last window, some lanes may
    be one step shorter; there, `inputs` is 0 and `targets` is `IGNORED`. `reset` is true for all lanes in the first
    window of an epoch and false in the others.

    Each process takes every `world_size`-th lane. All processes have the same number of windows. In the last window, a
    lane or a process may have no target, so a mean over targets must handle zero targets.

    `state_dict` holds the position, so that a run is resumed at the window after the checkpoint. It counts the windows
    that were yielded. Lightning requests a window only after training on the one before; it does not prefetch, because
    the length is known.

    Args:
        tokens: ids [N]. They may be on disk (`StoredTokens`); several windows are then read at a time, in bounded
            memory.
        lanes: number of lanes, over all processes.
        steps: time steps of a window.
        random_steps: whether to vary the lengths of windows per epoch (`rnnkit.data.corpus.window_lengths`); `steps`
            is then their mean. All epochs have the same number of windows.
        rank: index of this process.
        world_size: number of processes.
        units: the length of the text in units that do not depend on the tokenizer, for `bits_per_<unit>`.

    Raises:
        UserError: there are fewer than two tokens, `lanes` or `steps` is less than 1, or `lanes` is not a multiple of
            `world_size`.

    >>> windows = Windows(torch.arange(8), lanes=2, steps=3)
    >>> for window in windows:
    ...     print(window.inputs.tolist(), window.targets.tolist(), window.lengths, window.reset.tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]] None [True, True]
    [[3], [0]] [[4], [-100]] tensor([1, 0]) [False, False]
    """

    def __init__(
        self,
        tokens: Tensor | StoredTokens,
        lanes: int,
        steps: int,
        *,
        random_steps: bool = False,
        rank: int = 0,
        world_size: int = 1,
        units: Mapping[str, int] | None = None,
    ) -> None:
        predictions = len(tokens) - 1
        if predictions < 1:
            raise UserError("text", "at least two tokens", f"{len(tokens)}", fix="a longer text")
        if lanes < 1 or lanes % world_size:
            fitting = world_size * max(1, round(lanes / world_size))
            expected = f"a positive multiple of {world_size}, the number of processes"
            raise UserError("data.lanes", expected, str(lanes), fix=f"data.lanes={fitting}")
        if steps < 1:
            raise UserError("data.bptt_steps", "a positive number", str(steps), fix="data.bptt_steps=64")
        self.units: Mapping[str, int] = units or {}
        self._geometry = {"tokens": len(tokens), "lanes": lanes, "steps": steps}
        self._steps = steps
        sizes, self._longest = _lane_sizes(predictions, lanes)
        ends = sizes.cumsum(0)
        own = slice(rank, None, world_size)
        self._sizes_B = sizes[own]
        self._ends_B = ends[own]
        self._shortest = int(self._sizes_B.min())
        self._tokens = tokens
        # buffer of some windows of every lane and the token after them, so that a window is two slices
        self._tokens_BL = torch.empty((0, 0), dtype=torch.int32)
        self._buffered = range(0)  # the steps in this buffer
        self._first_B = torch.ones(len(self._sizes_B), dtype=torch.bool)
        self._later_B = torch.zeros(len(self._sizes_B), dtype=torch.bool)
        self._random = random_steps
        self._epoch = 0
        self._count = len(self._ends())
        self._start = 0  # the first window of the next epoch
        self._position = 0  # the next window of the current epoch

    def __len__(self) -> int:
        """The number of windows in a whole epoch, independent of the position."""
        return self._count

    def __iter__(self) -> Iterator[SequenceBatch]:
        """Start an epoch. After `load_state_dict`, this is the rest of the interrupted epoch."""
        # a generator runs only when its first window is requested: Lightning may create iterators that it does not use
        start, self._start = self._start, 0
        self._epoch += self._position > start  # unless the epoch is resumed
        ends = self._ends()
        for index in range(start, len(self)):
            self._position = index + 1
            yield self._window(ends[index - 1] if index else 0, min(ends[index], self._longest))

    def state_dict(self, epoch_windows: float | None = None) -> dict[str, int]:
        """The position, and the sizes on which it depends: tokens, lanes and steps.

        The end of an epoch is stored as the start of the next.

        Args:
            epoch_windows: the number of windows after which the trainer ends an epoch, if it is smaller than the
                length.
        """
        ended = self._position >= min(len(self), epoch_windows or len(self))
        position = {"window": 0 if ended else self._position, **self._geometry}
        return {**position, "epoch": self._epoch + ended} if self._random else position

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next epoch at a position that `state_dict` returned.

        Raises:
            UserError: the text, the lanes or the steps differ from those of the position, or there is no such window.
        """
        if ("epoch" in state) != self._random:
            was = str("epoch" in state).lower()
            raise UserError(
                "data.random_steps",
                f"{was}, as in the interrupted run, to resume within an epoch",
                str(self._random).lower(),
                fix=f"data.random_steps={was}",
            )
        for key, argument in (("lanes", "data.lanes"), ("steps", "data.bptt_steps"), ("tokens", "data.path")):
            if state[key] != self._geometry[key]:
                raise UserError(
                    argument,
                    f"the {key} of the interrupted run, {state[key]:,}, to resume within an epoch",
                    f"{self._geometry[key]:,}",
                    fix="the same text as before" if key == "tokens" else f"{argument}={state[key]}",
                )
        if not 0 <= state["window"] <= len(self):
            got = f"window {state['window']:,}"
            raise UserError("data", f"a position among the {len(self):,} windows", got, fix="a new run")
        self._start = self._position = state["window"]
        self._epoch = state.get("epoch", 0)

    def _ends(self) -> Sequence[int]:
        """The end of each window of the epoch, in steps from the start of a lane. The last may exceed the lane."""
        if self._random:
            return array("q", accumulate(random_lengths(self._longest, self._steps, self._epoch)))
        return range(self._steps, self._longest + self._steps, self._steps)

    def _window(self, start: int, end: int) -> SequenceBatch:
        if start not in self._buffered or end > self._buffered.stop:
            self._fill_buffer(start, max(end, min(start + AHEAD // len(self._sizes_B), self._longest)))
        begin, stop = start - self._buffered.start, end - self._buffered.start
        inputs_BT = self._tokens_BL[:, begin:stop].long()
        targets_BT = self._tokens_BL[:, begin + 1 : stop + 1].long()
        reset_B = self._first_B if start == 0 else self._later_B
        if self._shortest >= end:
            return SequenceBatch(inputs_BT, targets_BT, reset=reset_B)
        lengths_B = (self._sizes_B - start).clamp(0, end - start)
        inputs_BT.masked_fill_(torch.arange(end - start) >= lengths_B[:, None], 0)
        return SequenceBatch(inputs_BT, targets_BT, lengths_B, reset=reset_B, num_steps=int(lengths_B.sum()))

    def _fill_buffer(self, start: int, end: int) -> None:
        """Read the steps from `start` to `end` of all lanes into the buffer."""
        width = end - start + 1
        self._buffered = range(start, end)
        if self._tokens_BL.shape[1] != width:
            self._tokens_BL = torch.empty((len(self._sizes_B), width), dtype=torch.int32)
        for row, (size, lane_end) in enumerate(zip(self._sizes_B.tolist(), self._ends_B.tolist(), strict=True)):
            part = self._tokens[lane_end - size + start : lane_end - max(size - end, 0) + 1]
            self._tokens_BL[row, : len(part)] = part
            self._tokens_BL[row, len(part) :] = IGNORED


def _lane_sizes(predictions: int, lanes: int) -> tuple[Tensor, int]:
    """The number of predictions of each lane [lanes], longer lanes first, and of the longest lane."""
    size, longer = divmod(predictions, lanes)
    sizes = torch.full((lanes,), size)
    sizes[:longer] += 1
    return sizes, int(sizes[0])
