"""Many live sequences that share one frozen step."""

import threading
import time
from array import array
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.deploy.given import plain_steps, restore, rows_of, saved
from rnnkit.engines.live import Frozen, freeze
from rnnkit.errors import UserError

FIRST = 16
"""The number of states for which there is memory at first; it doubles when they are taken."""


class SessionBank:
    """Live sequences by id. They join and leave at any step, and one call runs chunks of different lengths.

    The numbers of a sequence are, bit for bit, those of a `Session` alone, whatever the others do. All methods may be
    called from several threads; one runs at a time.

    Args:
        step: a cell, or a step that is frozen already; see `Session`.
        max_sequences: the largest number of sequences at the same time.
        x: see `Session`.

    Raises:
        UserError: if `max_sequences` is below 1.

    >>> import rnnkit
    >>> bank = SessionBank(rnnkit.cells.GRUCell(3, 5), max_sequences=100)
    >>> bank.start("a"), bank.start("b")
    (None, None)
    >>> outputs = bank.push({"a": torch.randn(7, 3), "b": torch.randn(3)})
    >>> outputs["a"].shape, outputs["b"].shape
    (torch.Size([7, 5]), torch.Size([5]))
    >>> bank.end("a")
    >>> len(bank), "a" in bank
    (1, False)
    """

    def __init__(self, step: Cell[Any] | Frozen, *, max_sequences: int = 1024, x: Any = None) -> None:
        if max_sequences < 1:
            raise UserError("max_sequences", "1 or more", str(max_sequences), fix="max_sequences=1024")
        self.frozen = step if isinstance(step, Frozen) else freeze(step, x)
        self.max_sequences = max_sequences
        self._lock = threading.Lock()
        self._slots: dict[Hashable, int] = {}
        self._ids: list[Hashable] = []
        self._used = array("d")
        self._records = self._memory(min(FIRST, max_sequences))
        self._gone: dict[Hashable, str] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, sequence_id: Hashable) -> bool:
        return sequence_id in self._slots

    def start(self, sequence_id: Hashable) -> None:
        """Start a sequence from the state before the first step.

        Raises:
            UserError: if the id is in use, or the bank is full.
        """
        with self._lock:
            self._start(sequence_id)

    def end(self, sequence_id: Hashable) -> None:
        """End a sequence and forget its state.

        Raises:
            UserError: if there is no such sequence.
        """
        with self._lock:
            self._remove(self._slot(sequence_id), "was ended")

    def push(self, chunks: Mapping[Hashable, Any]) -> dict[Hashable, Tensor]:
        """Run a chunk of each of some sequences; return their outputs by id.

        Args:
            chunks: for each id an input of one step [I], with the output [O], or of several [T, I], with [T, O].

        Raises:
            UserError: if there is no such sequence, or an input does not fit the step. No sequence has moved then.
        """
        with self._lock:
            slots = [self._slot(name) for name in chunks]
            steps = plain_steps(self.frozen, list(chunks.values()))
            if steps is not None:
                return dict(zip(chunks, self._run(slots, [1] * len(slots), steps).unbind(0), strict=True))
            given = [rows_of(self.frozen, x, f"x of {name!r}") for name, x in chunks.items()]
            if not given:
                return {}
            lengths = [steps for _, steps, _ in given]
            xs = [torch.cat(parts) for parts in zip(*(leaves for leaves, _, _ in given), strict=True)]
            y_RO = self._run(slots, lengths, xs)
            parts = y_RO.split(lengths)
            singles = [single for _, _, single in given]
            return {n: y[0] if one else y for n, y, one in zip(chunks, parts, singles, strict=True)}

    def step(self, sequence_ids: Sequence[Hashable], x_BI: Any) -> Tensor:
        """Run one step of each of some sequences: map x [B, I], or ids [B], to the outputs [B, O].

        Raises:
            UserError: as `push`, or if an id occurs twice.
        """
        with self._lock:
            slots = [self._slot(name) for name in sequence_ids]
            xs, rows, single = rows_of(self.frozen, x_BI)
            if rows != len(slots) or single or len(set(slots)) != len(slots):
                got = f"{len(set(slots))} different ids and {rows} rows"
                raise UserError("sequence_ids", "an id for each row of x, each once", got, fix="bank.push({id: x_TI})")
            return self._run(slots, [1] * rows, xs)

    def state_dict(self, sequence_id: Hashable) -> dict[str, Tensor]:
        """Return a copy of the state of a sequence; see `Session.state_dict`.

        Raises:
            UserError: if there is no such sequence.
        """
        with self._lock:
            return saved(self.frozen, self._records[self._slot(sequence_id)])

    def load_state_dict(self, sequence_id: Hashable, state: Mapping[str, Tensor]) -> None:
        """Let a sequence go on from a saved state; it is started if there is none of this id.

        Raises:
            UserError: if the state does not belong to the step, or the bank is full.
        """
        with self._lock:
            record = self.frozen.initial.clone()
            restore(self.frozen, record, state)
            if sequence_id not in self._slots:
                self._start(sequence_id)
            self._records[self._slots[sequence_id]] = record

    def evict_idle(self, seconds: float) -> list[Hashable]:
        """End all sequences without a step for some time; return their ids. Later calls with them say so."""
        with self._lock:
            now = time.monotonic()
            idle = [name for name, slot in self._slots.items() if now - self._used[slot] >= seconds]
            at = time.strftime("%H:%M:%S")
            for name in idle:
                slot = self._slots[name]
                self._remove(slot, f"was evicted at {at} after {now - self._used[slot]:.3g} s without a step")
            return idle

    def _run(self, slots: list[int], lengths: list[int], xs: list[Tensor]) -> Tensor:
        rows = sum(lengths)
        y_RO = torch.empty(rows, *self.frozen.y_shape, dtype=self.frozen.y_dtype)
        if rows == len(slots):
            self.frozen.push(self._records, slots, lengths, range(rows), xs, y_RO)
        else:
            begins, begin = [], 0
            for length in lengths:
                begins.append(begin)
                begin += length
            order = sorted(range(len(slots)), key=lengths.__getitem__, reverse=True)
            slots_, lengths_, begins_ = ([given[n] for n in order] for given in (slots, lengths, begins))
            self.frozen.push(self._records, slots_, lengths_, begins_, xs, y_RO)
        now = time.monotonic()
        for slot in slots:
            self._used[slot] = now
        return y_RO

    def _start(self, sequence_id: Hashable) -> None:
        if sequence_id in self._slots:
            raise UserError("sequence_id", "a new id", f"{sequence_id!r}, a live sequence", fix="bank.end(id) before")
        slot = len(self._ids)
        if slot == self.max_sequences:
            fix = "bank.evict_idle(60.0), bank.end(id), or a larger max_sequences"
            raise UserError("max_sequences", "room for another sequence", f"{slot} live ones", fix=fix)
        if slot == len(self._records):
            grown = self._memory(min(2 * slot, self.max_sequences))
            grown[:slot] = self._records
            self._records = grown
        self._gone.pop(sequence_id, None)
        self._records[slot] = self.frozen.initial
        self._slots[sequence_id] = slot
        self._ids.append(sequence_id)
        self._used.append(time.monotonic())

    def _remove(self, slot: int, how: str) -> None:
        """Free a slot; the last sequence moves into it, so that the slots in use stay together."""
        name, last = self._ids[slot], len(self._ids) - 1
        if slot != last:
            self._records[slot] = self._records[last]
            self._ids[slot], self._used[slot] = self._ids[last], self._used[last]
            self._slots[self._ids[slot]] = slot
        self._ids.pop()
        self._used.pop()
        del self._slots[name]
        self._gone[name] = how
        while len(self._gone) > self.max_sequences:
            del self._gone[next(iter(self._gone))]

    def _slot(self, sequence_id: Hashable) -> int:
        slot = self._slots.get(sequence_id)
        if slot is None:
            how = self._gone.get(sequence_id, "was never started")
            fix = f"bank.start({sequence_id!r})"
            raise UserError("sequence_id", "a live sequence", f"{sequence_id!r}, which {how}", fix=fix)
        return slot

    def _memory(self, slots: int) -> Tensor:
        return torch.empty(slots, self.frozen.layout.bytes, dtype=torch.uint8)
