"""A bank of sequences: each computes, bit for bit, what it computes alone, whatever the others do."""

import random
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit import Session, SessionBank
from rnnkit.cells import Cell, GRUCell, LayerNormLSTMCell, LRUCell, LSTMCell, SLSTMCell, Stack
from rnnkit.engines.live import freeze
from rnnkit.errors import UserError

SIZE = 64


def events(cell: Cell[Any], count: int, seed: int = 0) -> None:
    """Random events on a bank, each beside a lone session; one of the sequences is fed NaN, infinity and 1e38."""
    generator, frozen = random.Random(seed), freeze(cell)
    bank, alone = SessionBank(frozen, max_sequences=SIZE), dict[str, Session]()

    def start(name: str) -> None:
        bank.start(name)
        alone[name] = Session(frozen)

    def chunk(name: str) -> Tensor:
        steps = generator.choice([0, 0, 1, 2, 5, 13])
        x_TI = torch.randn(max(steps, 1), cell.input_size)
        if name == "s0":
            x_TI[-1] = generator.choice([torch.nan, torch.inf, 1e38])
        return x_TI if steps else x_TI[0]

    def push(names: list[str]) -> None:
        chunks = {name: chunk(name) for name in names}
        for name, y in bank.push(chunks).items():
            x = chunks[name]
            wanted = alone[name].push(x) if x.dim() == 2 else alone[name].step(x)
            assert torch.equal(y.nan_to_num(7.0), wanted.nan_to_num(7.0)), name

    for number in range(40):
        start(f"s{number}")
    for _ in range(count):
        live, event = sorted(alone), generator.random()
        if event < 0.12 and len(live) < SIZE:
            start(next(f"s{n}" for n in range(2 * SIZE) if f"s{n}" not in alone))
        elif event < 0.2 and len(live) > 1:
            gone = generator.choice(live)
            bank.end(gone)
            del alone[gone]
        elif event < 0.25:
            name = generator.choice(live)
            bank.load_state_dict(name, alone[generator.choice(live)].state_dict())
            alone[name].load_state_dict(bank.state_dict(name))
        elif event < 0.4:
            names = generator.sample(live, min(len(live), 3))
            x_BI = torch.randn(len(names), cell.input_size)
            y_BO = bank.step(names, x_BI)
            for name, x_I, y_O in zip(names, x_BI, y_BO, strict=True):
                assert torch.equal(y_O.nan_to_num(7.0), alone[name].step(x_I).nan_to_num(7.0))
        else:
            push(generator.sample(live, generator.randint(1, len(live))))
    assert len(bank) == len(alone)
    if "s0" in alone:
        bank.end("s0")
        del alone["s0"]
        start("s0")
        assert bank.push({"s0": torch.randn(cell.input_size)})["s0"].isfinite().all()


def test_random_events_change_no_bit_of_a_neighbor() -> None:
    events(Stack([LSTMCell(6, 9), GRUCell(9, 17)]), 250)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, LayerNormLSTMCell, SLSTMCell, LRUCell])
def test_a_thousand_events_change_no_bit_of_a_neighbor(kind: Any) -> None:
    for seed in range(3):
        events(kind(13, 24), 1000, seed)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 33, 64, 150])
def test_the_number_of_sequences_changes_no_bit(count: int) -> None:
    torch.manual_seed(3)
    frozen, x_BTI = freeze(LSTMCell(10, 20)), torch.randn(150, 6, 10)
    bank = SessionBank(frozen)
    for name in range(count):
        bank.start(name)
    outputs = bank.push({name: x_BTI[name] for name in range(count)})
    for name in {0, count // 2, count - 1}:
        assert torch.equal(outputs[name], Session(frozen).push(x_BTI[name]))


def test_ids_that_are_unknown_ended_or_evicted_are_told_apart() -> None:
    bank = SessionBank(GRUCell(3, 5), max_sequences=2)
    for name in ("a", "b"):
        bank.start(name)
    with pytest.raises(UserError, match="room for another sequence"):
        bank.start("c")
    with pytest.raises(UserError, match="a new id"):
        bank.start("a")
    bank.end("a")
    assert bank.evict_idle(60.0) == []
    assert bank.evict_idle(0.0) == ["b"]
    for name, word in (("a", "was ended"), ("b", "was evicted at .* without a step"), ("c", "was never started")):
        with pytest.raises(UserError, match=word):
            bank.push({name: torch.zeros(3)})
    bank.start("b")
    assert bank.push({"b": torch.zeros(3)})["b"].shape == (5,)


def test_one_bad_input_moves_nobody() -> None:
    frozen = freeze(GRUCell(3, 5))
    bank = SessionBank(frozen)
    bank.start("a")
    bank.start("b")
    with pytest.raises(UserError, match="x of 'b'"):
        bank.push({"a": torch.ones(3), "b": torch.ones(4)})
    with pytest.raises(UserError, match="each once"):
        bank.step(["a", "a"], torch.ones(2, 3))
    assert torch.equal(bank.push({"a": torch.ones(3)})["a"], Session(frozen).step(torch.ones(3)))
    assert bank.push({}) == {}


def test_threads_take_turns() -> None:
    frozen, x_BTI = freeze(LSTMCell(8, 32)), torch.randn(8, 200, 8)
    bank, found = SessionBank(frozen), dict[int, Tensor]()

    def stream(name: int) -> None:
        bank.start(name)
        found[name] = torch.cat([bank.push({name: part})[name] for part in x_BTI[name].split(7)])

    threads = [threading.Thread(target=stream, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, y_TO in found.items():
        assert torch.equal(y_TO, Session(frozen).push(x_BTI[name]))


def test_ids_of_words_are_stepped_together() -> None:
    from rnnkit.models import LanguageModel

    frozen = freeze(LanguageModel(11, LSTMCell, hidden_size=8).step())
    bank = SessionBank(frozen)
    for name in "ab":
        bank.start(name)
    y_BV = bank.step(["a", "b"], torch.tensor([3, 10]))
    assert torch.equal(y_BV[1], Session(frozen).step(10))
    assert torch.equal(bank.push({"a": torch.tensor([4, 5])})["a"][0], bank.push({"b": 4})["b"]) is False
