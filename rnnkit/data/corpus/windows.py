"""Truncated BPTT as a property of the data: one long text as lanes, the lanes as consecutive windows."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.data.corpus.window_lengths import random_lengths
from rnnkit.data.loading.worst_case import WorstCase
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt, PositiveInt

AHEAD = 1 << 20
"""Tokens of all lanes together that are read at a time, or one window if that is more."""
TRIED = 64
"""Most steps of a window that are tried before training; longer windows take memory in proportion."""


class WindowPosition(TypedDict):
    """What `Windows.state_dict` tells; `epoch` of random steps only."""

    window: NonNegativeInt
    tokens: PositiveInt
    lanes: PositiveInt
    steps: PositiveInt
    epoch: NotRequired[NonNegativeInt]


class Windows:
    """The windows of one epoch over `tokens` [N] int, an iterable of `SequenceBatch` with a length and a position.

    Tokens may lie on disk (`StoredTokens`): several windows are read at a time, and memory does not grow with N.

    N tokens make N - 1 predictions. They are divided into `lanes` contiguous stretches whose sizes differ by at most
    one, and every lane is walked in order, `steps` predictions a window: each token but the first is the target exactly
    once an epoch, and the carry of one window is the right start for the next. The last window is as narrow as what is
    left. `inputs` and `targets` are [B, T] int64. `lengths` is None while all lanes are full: in the last window some
    lanes may be one step short, and there `inputs` are 0 and `targets` are `IGNORED`. `reset` is true for all lanes in
    the first window of an epoch and false in the others.

    With `random_steps` the windows are `steps` wide on average only (`rnnkit.data.corpus.window_lengths`), and each
    epoch cuts the lanes elsewhere; all epochs have the same number of windows.

    Of `world_size` processes, number `rank` takes every `world_size`-th lane; all have the same number of windows. A
    process, like any lane, may be left without a target in the last window: a mean over targets must allow for that.

    `state_dict` holds the position, so that a checkpoint between two windows is resumed at the next one. It counts the
    windows handed out; Lightning asks for a window only when the last one is trained on (no prefetching, since the
    length is known).

    `units` says how long the text is in units that do not depend on the tokenizer, for `bits_per_<unit>`.

    Raises UserError when there are fewer than two tokens, `lanes` or `steps` is less than 1, or the lanes cannot be
    divided among the processes.

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
            raise UserError("text", "two tokens at least", f"{len(tokens)}", fix="a longer text")
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
        # some windows of every lane laid out, with the token that follows them: one of them is then two slices
        self._tokens_BL = torch.empty((0, 0), dtype=torch.int32)
        self._laid = range(0)  # the steps of these windows
        self._first_B = torch.ones(len(self._sizes_B), dtype=torch.bool)
        self._later_B = torch.zeros(len(self._sizes_B), dtype=torch.bool)
        self._random = random_steps
        self._epoch = 0
        self._count = len(self._ends())
        self._start = 0  # the window that the next epoch begins with
        self._position = 0  # the window that comes next in the current epoch

    def __len__(self) -> int:
        """Windows in a whole epoch, wherever the position is."""
        return self._count

    def __iter__(self) -> Iterator[SequenceBatch]:
        """Begin an epoch: the rest of the interrupted one after `load_state_dict`, else a whole one."""
        # a generator's body waits for the first window: Lightning may make several iterators and use the last one only
        start, self._start = self._start, 0
        self._epoch += self._position > start  # unless the epoch goes on
        ends = self._ends()
        for index in range(start, len(self)):
            self._position = index + 1
            yield self._window(ends[index - 1] if index else 0, min(ends[index], self._longest))

    def worst_case(self, rows: int) -> WorstCase:
        """The first steps of the longest window, `TRIED` at most; lanes may be repeated."""
        steps = min(self._steps, self._longest)
        if self._random:
            steps = max(random_lengths(self._longest, self._steps, self._epoch))
        window = self._window(0, min(steps, TRIED)).take(torch.arange(rows) % len(self._sizes_B))
        return WorstCase(window, self._geometry["lanes"], steps, "lanes", "bptt_steps")

    def state_dict(self, epoch_windows: float | None = None) -> dict[str, int]:
        """The position and what it depends on: tokens, lanes, steps. The end of an epoch is the next one's start.

        `epoch_windows` is after how many windows an epoch ends, where it ends before all are through.
        """
        ended = self._position >= min(len(self), epoch_windows or len(self))
        position = {"window": 0 if ended else self._position, **self._geometry}
        return {**position, "epoch": self._epoch + ended} if self._random else position

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next epoch begin at a position that `state_dict` told.

        Raises UserError when that position is one among other windows, because the text, the lanes or the steps differ,
        and for a window that there is not.
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
        """Where each window of the epoch ends, in steps from the beginning of a lane; the last may end beyond it."""
        if self._random:
            return array("q", accumulate(random_lengths(self._longest, self._steps, self._epoch)))
        return range(self._steps, self._longest + self._steps, self._steps)

    def _window(self, start: int, end: int) -> SequenceBatch:
        if start not in self._laid or end > self._laid.stop:
            self._lay(start, max(end, min(start + AHEAD // len(self._sizes_B), self._longest)))
        begin, stop = start - self._laid.start, end - self._laid.start
        inputs_BT = self._tokens_BL[:, begin:stop].long()
        targets_BT = self._tokens_BL[:, begin + 1 : stop + 1].long()
        reset_B = self._first_B if start == 0 else self._later_B
        if self._shortest >= end:
            return SequenceBatch(inputs_BT, targets_BT, reset=reset_B)
        lengths_B = (self._sizes_B - start).clamp(0, end - start)
        inputs_BT.masked_fill_(torch.arange(end - start) >= lengths_B[:, None], 0)
        return SequenceBatch(inputs_BT, targets_BT, lengths_B, reset=reset_B, num_steps=int(lengths_B.sum()))

    def _lay(self, start: int, end: int) -> None:
        """Lay out the steps from `start` to `end` of all lanes."""
        width = end - start + 1
        self._laid = range(start, end)
        if self._tokens_BL.shape[1] != width:
            self._tokens_BL = torch.empty((len(self._sizes_B), width), dtype=torch.int32)
        for row, (size, lane_end) in enumerate(zip(self._sizes_B.tolist(), self._ends_B.tolist(), strict=True)):
            part = self._tokens[lane_end - size + start : lane_end - max(size - end, 0) + 1]
            self._tokens_BL[row, : len(part)] = part
            self._tokens_BL[row, len(part) :] = IGNORED


def _lane_sizes(predictions: int, lanes: int) -> tuple[Tensor, int]:
    """Predictions of each lane [lanes], the longer lanes first, and of the longest."""
    size, longer = divmod(predictions, lanes)
    sizes = torch.full((lanes,), size)
    sizes[:longer] += 1
    return sizes, int(sizes[0])
