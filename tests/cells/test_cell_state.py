from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from rnnkit.cells import LSTMCell, LSTMState, map_state, state_leaves
from rnnkit.errors import UserError


class Nested(NamedTuple):
    inner: LSTMState
    rest: Tensor


def test_types_survive_at_every_depth() -> None:
    state = (Nested(LSTMState(torch.zeros(2), torch.ones(2)), torch.ones(1)), torch.ones(3))
    doubled = map_state(lambda leaf: 2 * leaf, state)
    assert type(doubled) is tuple
    assert type(doubled[0]) is Nested
    assert type(doubled[0].inner) is LSTMState
    assert [leaf.sum().item() for leaf in state_leaves(doubled)] == [0, 4, 2, 6]


def test_matching_leaves_meet() -> None:
    a, b = LSTMState(torch.tensor(1), torch.tensor(2)), LSTMState(torch.tensor(10), torch.tensor(20))
    assert map_state(torch.add, a, b) == LSTMState(torch.tensor(11), torch.tensor(22))


@pytest.mark.parametrize("state", [[torch.zeros(1)], None, (torch.zeros(1), 3)])
def test_what_is_no_state_is_refused(state: object) -> None:
    with pytest.raises(
        UserError, match=r"state: expected a Tensor, or a NamedTuple or tuple of Tensors; got (list|None|int)"
    ):
        map_state(Tensor.detach, state)


@pytest.mark.parametrize("other", [(torch.zeros(1), torch.zeros(1)), torch.zeros(1)])
def test_states_of_two_structures_are_refused(other: object) -> None:
    with pytest.raises(UserError, match="states of one structure, LSTMState of 2; got"):
        map_state(torch.add, LSTMState(torch.zeros(1), torch.zeros(1)), other)


def test_a_fresh_state_shares_no_memory_between_its_parts() -> None:
    state = LSTMCell(3, 5).initial_state(2)
    assert state.hidden.data_ptr() != state.cell.data_ptr()
