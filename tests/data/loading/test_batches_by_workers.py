"""Batches that other processes collate: the same ones, in the same order, and nothing is lost with a worker."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_leaves

from rnnkit.cli import run
from rnnkit.data import (
    Batches,
    CylinderBellFunnel,
    EventLength,
    ForecastData,
    MackeyGlass,
    SequenceData,
    TagData,
    TextLabelData,
)
from rnnkit.data.loading.workers import Workers
from rnnkit.errors import UserError

COUNTS = (0, 1, 3)
WORDS = "the river runs to the sea".split()  # noqa: SIM905
SENTENCES = [[(word, "X" if word == "the" else "O") for word in WORDS[: 1 + n % 6]] for n in range(90)]
DATA: dict[str, Any] = {
    "tags": lambda workers, folder: TagData(
        path=written(folder / "a.conll", ["".join(f"{word} {tag}\n" for word, tag in one) for one in SENTENCES]),
        batch_size=9,
        workers=workers,
    ),
    "forecasts": lambda workers, folder: ForecastData(
        generator=MackeyGlass(series=3, steps=400), windows={"stride": 40}, horizon=9, workers=workers
    ),
    "forecasts of windows drawn anew": lambda workers, folder: ForecastData(
        generator=MackeyGlass(series=3, steps=400), windows={"per_series": 70}, horizon=9, workers=workers
    ),
    "labels of series": lambda workers, folder: CylinderBellFunnel(
        train_size=40, valid_size=9, test_size=3, workers=workers
    ),
    "numbers of series": lambda workers, folder: EventLength(target="number", workers=workers),
    "labels of texts": lambda workers, folder: TextLabelData(
        path=written(
            folder / "a.csv", ["text,label", *(" ".join(word for word, _ in one) + f",{len(one)}" for one in SENTENCES)]
        ),
        batch_size=9,
        workers=workers,
    ),
}


def written(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def batches(lengths: list[int], workers: int, rank: int = 0, world_size: int = 1) -> Batches:
    return Batches(
        lengths,
        lambda indices: indices,  # type: ignore[arg-type, return-value]
        2 * world_size,
        shuffle=True,
        rank=rank,
        world_size=world_size,
        workers=Workers(workers),
    )


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=30),
    st.sampled_from(COUNTS),
    st.sampled_from(COUNTS),
    st.integers(1, 2),
    st.integers(0, 20),
)
@settings(deadline=None, max_examples=12)
def test_each_sequence_once_for_any_workers_before_and_after_a_stop(
    lengths: list[int], before: int, after: int, world_size: int, stop: int
) -> None:
    dealt = []
    for rank in range(world_size):
        alone = batches(lengths, 0, rank, world_size)
        epochs = [list(alone), list(alone)]
        stopped = batches(lengths, before, rank, world_size)
        begun = [batch for _, batch in zip(range(stop % len(alone)), stopped, strict=False)]
        resumed = batches(lengths, after, rank, world_size)
        resumed.load_state_dict(stopped.state_dict())
        assert begun + list(resumed) == epochs[0]
        assert list(resumed) == epochs[1]
        dealt += [index for batch in epochs[0] for index in batch]  # type: ignore[attr-defined]
    assert sorted(dealt) == list(range(len(lengths)))


def flat(batch: Any) -> list[Any]:
    """What a batch consists of, to the last bit and the last stride."""
    return [
        (leaf.dtype, leaf.shape, leaf.stride(), leaf.contiguous().view(-1).view(torch.uint8).tolist())
        if isinstance(leaf, Tensor)
        else leaf
        for leaf in tree_leaves(batch)
    ]


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_of_data_gives_the_same_numbers(kind: str, tmp_path: Path) -> None:
    made: list[SequenceData[Any]] = [DATA[kind](workers, tmp_path) for workers in (0, 2)]
    for data in made:
        data.setup()
    loaders = [data.train_dataloader() for data in made]
    for _ in range(2):  # epochs
        for alone, by_workers in zip(*loaders, strict=True):
            assert type(alone) is type(by_workers)
            assert flat(alone) == flat(by_workers)
    assert made[1].workers.lost is None
    for alone, by_workers in zip(*(data.val_dataloader() for data in made), strict=True):
        assert flat(alone) == flat(by_workers)


def test_what_numpy_does_not_know_comes_through_too() -> None:
    (found,) = Workers(1).collated([[3]], lambda indices: torch.full((2,), indices[0], dtype=torch.bfloat16))  # type: ignore[arg-type, return-value]
    assert found.dtype == torch.bfloat16
    assert found.tolist() == [3, 3]


def here(indices: list[int]) -> Any:
    return os.getpid(), indices


def wait_for_no_worker() -> None:
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not multiprocessing.active_children()


def test_the_work_is_done_elsewhere_by_so_many() -> None:
    found: list[Any] = list(Workers(2).collated([[index] for index in range(20)], here))
    assert [indices for _, indices in found] == [[index] for index in range(20)]
    assert os.getpid() not in {process for process, _ in found}
    assert 1 <= len({process for process, _ in found}) <= 2


def test_a_mistake_in_a_batch_is_told_as_it_is_without_workers() -> None:
    def collate(indices: list[int]) -> Any:
        if indices == [3]:
            raise UserError("data.path", "numbers", "a word in line 3", fix="a number there")
        return indices

    found = Workers(2).collated([[1], [2], [3], [4]], collate)
    assert [next(found), next(found)] == [[1], [2]]
    with pytest.raises(UserError, match=r"data\.path: expected numbers; got a word in line 3\. Try: a number there"):
        next(found)


def test_a_worker_that_is_killed_loses_no_batch_and_no_time() -> None:
    def collate(indices: list[int]) -> Any:
        return indices

    wait_for_no_worker()
    workers = Workers(2)
    found = workers.collated([[index] for index in range(200)], collate)
    taken = [next(found)]
    worker = multiprocessing.active_children()[0]
    os.kill(worker.pid or 0, signal.SIGKILL)
    multiprocessing.connection.wait([worker.sentinel], timeout=10)  # on a busy machine the other could do all the work
    start = time.monotonic()
    taken += list(found)
    assert time.monotonic() - start < 10
    assert taken == [[index] for index in range(200)]
    assert workers.lost is not None
    assert "terminated abruptly" in workers.lost
    assert next(workers.collated([[1]], here))[0] == os.getpid()  # type: ignore[comparison-overlap]


def test_where_the_system_lets_no_worker_begin_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    workers = Workers(2)
    found: list[Any] = list(workers.collated([[1], [2]], here))
    assert found == [(os.getpid(), [1]), (os.getpid(), [2])]
    assert workers.lost == "BlockingIOError: Resource temporarily unavailable"


def wait_for_the_end_of(process: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return True
        if status.rpartition(")")[2].split()[0] == "Z":  # ended, and nobody has asked how
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_worker_outlives_the_process_that_trains() -> None:
    program = (
        "import multiprocessing, time\n"
        "from rnnkit.data.loading.workers import Workers\n"
        "found = Workers(3).collated([[n] for n in range(99)], lambda indices: indices)\n"
        "next(found)\n"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(word) for word in parent.stdout.readline().split()]
    assert len(children) == 3
    parent.kill()
    parent.communicate()
    assert all(wait_for_the_end_of(child) for child in children)


def test_an_epoch_that_is_left_leaves_no_worker() -> None:
    found = Workers(2).collated([[index] for index in range(50)], here)
    next(found)
    del found
    wait_for_no_worker()


@pytest.mark.parametrize("count", [-1, 1.5, True, "2"])
def test_what_is_no_number_of_workers(count: Any) -> None:
    with pytest.raises(UserError, match=r"data\.workers: expected a whole number, 0 or more.*Try: data\.workers=0"):
        Workers(count)


def test_where_nothing_can_be_forked_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert Workers(0).count == 0
    with pytest.raises(UserError, match="cannot fork"):
        Workers(1)


def test_windows_of_text_have_no_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "task=language_modeling", "data.workers=2"]) == 2
    assert "data.workers: expected a configuration key" in capsys.readouterr().err
