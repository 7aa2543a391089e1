import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.batch import IGNORED
from rnnkit.data import Windows
from rnnkit.data.corpus import store
from rnnkit.data.corpus.store import Store
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.errors import UserError

sizes = st.tuples(st.integers(2, 120), st.integers(1, 9), st.integers(1, 12), st.integers(1, 3))


def make(n: int, lanes: int, steps: int, world_size: int) -> list[Windows]:
    tokens = torch.arange(1000, 1000 + n, dtype=torch.int32)
    return [Windows(tokens, lanes * world_size, steps, rank=r, world_size=world_size) for r in range(world_size)]


@given(sizes)
def test_every_token_is_predicted_once_and_in_order(size: tuple[int, int, int, int]) -> None:
    lanes_of_inputs, lanes_of_targets = [], []
    for windows in make(*size):
        rows: list[tuple[list[int], list[int]]] = [([], []) for _ in range(size[1])]
        for inputs_BT, targets_BT, lengths_B, *_ in windows:
            assert inputs_BT.dtype == targets_BT.dtype == torch.int64
            assert inputs_BT.shape == targets_BT.shape
            steps = [inputs_BT.shape[1]] * size[1] if lengths_B is None else lengths_B.tolist()
            for (inputs, targets), inputs_T, targets_T, valid in zip(rows, inputs_BT, targets_BT, steps, strict=True):
                inputs += inputs_T[:valid].tolist()
                targets += targets_T[:valid].tolist()
                assert (inputs_T[valid:] == 0).all()
                assert (targets_T[valid:] == IGNORED).all()
                assert (targets_T[:valid] != IGNORED).all()
        lanes_of_inputs += [inputs for inputs, _ in rows]
        lanes_of_targets += [targets for _, targets in rows]
    for inputs, targets in zip(lanes_of_inputs, lanes_of_targets, strict=True):
        assert targets == list(range(targets[0], targets[0] + len(targets))) if targets else not inputs
        assert inputs == [target - 1 for target in targets]
    assert sorted(target for targets in lanes_of_targets for target in targets) == list(range(1001, 1000 + size[0]))
    lengths = [len(lane) for lane in lanes_of_targets]
    assert max(lengths) - min(lengths) <= 1


@given(sizes)
def test_windows_are_of_one_width_but_the_last_and_reset_at_the_first(size: tuple[int, int, int, int]) -> None:
    n, lanes, steps, world_size = size
    longest = -(-(n - 1) // (lanes * world_size))
    expected = [min(steps, longest - start) for start in range(0, longest, steps)]
    for windows in make(*size):
        batches = list(windows)
        assert [batch.inputs.shape for batch in batches] == [(lanes, width) for width in expected]
        assert len(windows) == len(expected)
        assert [batch.reset.tolist() for batch in batches] == [[i == 0] * lanes for i in range(len(batches))]
        assert all(batch.lengths is None for batch in batches[:-1])
        last = batches[-1].lengths
        assert last is None or (last < expected[-1]).any()


@given(sizes, st.data())
def test_a_restored_position_gives_the_rest_of_the_epoch_then_whole_ones(
    size: tuple[int, int, int, int], data: st.DataObject
) -> None:
    windows, again = make(*size)[0], make(*size)[0]
    whole = [batch.targets for batch in windows]
    taken = data.draw(st.integers(0, len(windows)))
    epoch = iter(windows)
    for _ in range(taken):
        next(epoch)
    state = windows.state_dict()
    again.load_state_dict(state)
    assert again.state_dict() == state
    rest = [batch.targets for batch in again]
    expected = whole[taken:] or whole  # the end of an epoch is the start of the next
    assert len(rest) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(rest, expected, strict=True))
    assert len([*again]) == len(again) == len(whole)


@given(sizes, st.integers(1, 40), st.booleans())
def test_windows_from_the_disk_are_those_from_memory(
    size: tuple[int, int, int, int], ahead: int, random_steps: bool
) -> None:
    n, lanes, steps, world_size = size
    numbers = torch.arange(1, n + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK", 5)
        patch.setattr(store, "IN_MEMORY", 0)
        kept = Store()
        kept.append(3 * numbers.numpy())
        stored = StoredTokens(kept)
        for rank in range(world_size):
            options = {"random_steps": random_steps, "rank": rank, "world_size": world_size}
            whole = Windows(numbers * 3, lanes * world_size, steps, **options)  # type: ignore[arg-type]
            expected = [*whole, *whole]
            patch.setattr("rnnkit.data.corpus.windows.AHEAD", ahead)
            parts = Windows(stored, lanes * world_size, steps, **options)  # type: ignore[arg-type]
            assert kept.is_on_disk
            found = [*parts, *parts]
            patch.undo()
            for one, other in zip(found, expected, strict=True):
                assert one.inputs.tolist() == other.inputs.tolist()
                assert one.targets.tolist() == other.targets.tolist()
                assert one.reset.tolist() == other.reset.tolist()
                assert one.num_steps == other.num_steps
                assert (one.lengths is None) == (other.lengths is None)


def test_a_batch_stays_what_it_was_when_the_next_is_made() -> None:
    batches = list(Windows(torch.arange(8), lanes=2, steps=3))
    assert [batch.targets.tolist() for batch in batches] == [[[1, 2, 3], [5, 6, 7]], [[4], [IGNORED]]]


def test_what_is_read_at_a_time_does_not_grow_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnkit.data.corpus.windows.AHEAD", 100)
    sizes = []
    for n in (1_000, 100_000):
        some = Windows(torch.arange(n), lanes=4, steps=5)
        next(iter(some))
        sizes.append(some._tokens_BL.numel())
    assert sizes == [4 * 26] * 2


def test_a_resumed_epoch_resets_nothing() -> None:
    windows = Windows(torch.arange(21), lanes=2, steps=5)
    windows.load_state_dict({"window": 1, "tokens": 21, "lanes": 2, "steps": 5})
    assert [batch.reset.tolist() for batch in windows] == [[False, False]]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lanes", r"data\.lanes: expected the lanes of the interrupted run, 7, .*got 2\. Try: data\.lanes=7"),
        ("steps", r"data\.bptt_steps: .*Try: data\.bptt_steps=7"),
        ("tokens", r"data\.path: expected the tokens of the interrupted run, 7, .*the same text as before"),
    ],
)
def test_a_position_among_other_windows_is_refused(key: str, message: str) -> None:
    windows = Windows(torch.arange(21), lanes=2, steps=5)
    with pytest.raises(UserError, match=message):
        windows.load_state_dict(windows.state_dict() | {key: 7})


def test_one_lane_needs_no_padding() -> None:
    assert all(batch.lengths is None for batch in Windows(torch.arange(100), lanes=1, steps=7))


@pytest.mark.parametrize(
    ("n", "lanes", "steps", "world_size", "message"),
    [
        (1, 1, 1, 1, "at least two tokens; got 1"),
        (0, 1, 1, 1, "at least two tokens; got 0"),
        (9, 0, 1, 1, r"data\.lanes: .*Try: data\.lanes=1"),
        (9, 3, 1, 2, r"data\.lanes: .*multiple of 2.*Try: data\.lanes=4"),
        (9, 1, 0, 1, r"data\.bptt_steps: expected a positive number; got 0"),
    ],
)
def test_impossible_windows(n: int, lanes: int, steps: int, world_size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Windows(torch.arange(n), lanes, steps, world_size=world_size)
