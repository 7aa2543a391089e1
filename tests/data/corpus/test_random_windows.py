"""Windows of random length: the same text in the same order, cut elsewhere in each epoch, resumable anywhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.batch import SequenceBatch
from rnnkit.data import TextData, Windows
from rnnkit.data.corpus import window_lengths
from rnnkit.data.corpus.window_lengths import random_lengths
from rnnkit.errors import UserError


def make(n: int = 4001, lanes: int = 2, steps: int = 20, random_steps: bool = True, **options: int) -> Windows:
    return Windows(torch.arange(n), lanes, steps, random_steps=random_steps, **options)


@given(st.integers(1, 3000), st.integers(1, 90), st.integers(0, 5))
def test_the_lengths_add_up_and_every_epoch_has_the_same_ones(total: int, steps: int, epoch: int) -> None:
    lengths = random_lengths(total, steps, epoch)
    assert sum(lengths) == total
    assert min(lengths) >= 1
    assert sorted(lengths) == sorted(random_lengths(total, steps, epoch + 1))


@pytest.mark.parametrize("total", [1, 80, 320, 325, 330, 395, 400, 405, 1000, 5003])
@pytest.mark.parametrize("steps", [1, 5, 70])
def test_the_lengths_do_not_depend_on_how_many_are_drawn_at_a_time(
    total: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = random_lengths(total, steps, 3)
    monkeypatch.setattr(window_lengths, "BLOCK", 32)
    assert random_lengths(total, steps, 3) == expected


def test_the_lengths_are_those_of_the_paper() -> None:
    lengths = torch.tensor(random_lengths(7_000_000, 70, 0)).double()
    short = lengths < 52.5  # half way between the two means: 3.5 standard deviations from either
    assert short.double().mean().item() == pytest.approx(0.05, abs=0.003)
    for chosen, mean in ((short, 35), (~short, 70)):
        assert lengths[chosen].mean().item() == pytest.approx(mean, abs=0.3)
        assert lengths[chosen].std().item() == pytest.approx(5, abs=0.15)
    # in no order: a window does not foretell the next
    assert torch.corrcoef(torch.stack([lengths[:-1], lengths[1:]]))[0, 1].abs() < 0.01


def test_an_epoch_is_the_whole_text_in_order_and_the_next_is_cut_elsewhere() -> None:
    windows = make()
    three = [list(windows) for _ in range(3)]
    for batches in three:
        assert len(batches) == len(windows)
        assert torch.equal(torch.cat([batch.inputs for batch in batches], dim=1), torch.arange(4000).view(2, 2000))
        assert torch.equal(torch.cat([batch.targets for batch in batches], dim=1), torch.arange(1, 4001).view(2, 2000))
        assert [bool(batch.reset.all()) for batch in batches] == [i == 0 for i in range(len(batches))]
    widths = [[batch.inputs.shape[1] for batch in batches] for batches in three]
    assert widths[0] != widths[1] != widths[2] != widths[0]
    assert [[batch.inputs.shape[1] for batch in make()] for _ in range(2)] == [widths[0]] * 2


def test_all_processes_cut_alike() -> None:
    widths = [[b.inputs.shape[1] for b in make(n=4003, lanes=4, rank=r, world_size=2)] for r in range(2)]
    assert widths[0] == widths[1]


def epochs(windows: Windows, count: int) -> Iterator[SequenceBatch]:
    for _ in range(count):
        yield from windows


@pytest.mark.parametrize("taken", [0, 1, 60, 100, 108, 200])
def test_a_restored_position_gives_what_would_have_followed(taken: int) -> None:
    windows, again = make(), make()
    assert len(windows) == 100
    stream = epochs(windows, 4)
    for _ in range(taken):
        next(stream)
    state = windows.state_dict()
    again.load_state_dict(state)
    assert again.state_dict() == state
    rest = [batch.targets for batch in stream]
    found = [batch.targets for batch in epochs(again, 4)]
    assert len(rest) == 4 * 100 - taken
    assert all(torch.equal(a, b) for a, b in zip(found, rest, strict=False))


def test_an_epoch_that_is_cut_short_counts() -> None:
    """As `trainer.limit_train_batches` does it."""
    windows = make()
    first = [batch.inputs.shape[1] for batch, _ in zip(windows, range(30), strict=False)]
    second = [batch.inputs.shape[1] for batch, _ in zip(windows, range(30), strict=False)]
    assert first != second


def test_windows_of_another_kind_are_refused() -> None:
    for random_steps in (True, False):
        now, before = str(random_steps).lower(), str(not random_steps).lower()
        message = rf"data\.random_steps: expected {before}, as in.*got {now}\. Try: data\.random_steps={before}"
        with pytest.raises(UserError, match=message):
            make(random_steps=random_steps).load_state_dict(make(random_steps=not random_steps).state_dict())


def test_only_training_windows_vary(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be. " * 1000)
    data = TextData(path=tmp_path / "a.txt", lanes=4, bptt_steps=20, random_steps=True)
    data.setup()
    assert len({batch.inputs.shape[1] for batch in data.train_dataloader()}) > 5
    assert len({batch.inputs.shape[1] for batch in data.val_dataloader()}) <= 2
