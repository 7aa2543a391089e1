"""Each token once an epoch, in order, with a reset where a lane begins: over all processes, across a stop."""

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import arange, int32

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.data import Windows

EPOCHS = 3


def windows(tokens: int, lanes: int, steps: int, random_steps: bool, rank: int, world_size: int) -> Windows:
    text = arange(1000, 1000 + tokens, dtype=int32)
    return Windows(text, lanes * world_size, steps, random_steps=random_steps, rank=rank, world_size=world_size)


def walked(before: Windows, after: Windows, stop: int) -> list[list[SequenceBatch]]:
    """The windows of each epoch, `before` stopped after so many of them and `after` gone on with."""
    epochs: list[list[SequenceBatch]] = [[]]
    while stop:
        for batch in before:
            epochs[-1].append(batch)
            stop -= 1
            if not stop:
                break
        if len(epochs[-1]) == len(before):
            epochs.append([])
    after.load_state_dict(before.state_dict())
    while len(epochs) <= EPOCHS:
        epochs[-1] += after
        epochs.append([])
    return epochs[:EPOCHS]


@given(st.integers(2, 90), st.integers(1, 5), st.integers(1, 9), st.booleans(), st.integers(1, 3), st.integers(0, 60))
@settings(deadline=None)
def test_every_token_is_a_target_once_an_epoch_wherever_the_run_stopped(
    tokens: int, lanes: int, steps: int, random_steps: bool, world_size: int, stop: int
) -> None:
    of_processes = []
    for rank in range(world_size):
        made = [windows(tokens, lanes, steps, random_steps, rank, world_size) for _ in range(2)]
        of_processes.append(walked(made[0], made[1], stop))
    for number in range(EPOCHS):
        targets: list[int] = []
        for epochs in of_processes:
            epoch = epochs[number]
            assert len(epoch) == len(of_processes[0][number])  # no process waits in vain for another
            rows: list[list[int]] = [[] for _ in range(lanes)]
            for place, batch in enumerate(epoch):
                assert batch.reset is not None
                assert batch.reset.tolist() == [place == 0] * lanes
                valid = [batch.targets.shape[1]] * lanes if batch.lengths is None else batch.lengths.tolist()
                for row, inputs_T, targets_T, length in zip(rows, batch.inputs, batch.targets, valid, strict=True):
                    assert (inputs_T[:length] + 1).tolist() == targets_T[:length].tolist()
                    assert (targets_T[length:] == IGNORED).all()
                    row += targets_T[:length].tolist()
            assert all(row == list(range(row[0], row[0] + len(row))) for row in rows if row)
            targets += [target for row in rows for target in row]
        assert sorted(targets) == list(range(1001, 1000 + tokens))
