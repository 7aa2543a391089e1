"""The structure of the state of a recurrent layer: one entry for each layer, with one part for each direction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnnkit.errors import UserError


class BothDirections(NamedTuple):
    """The states of one bidirectional layer: of the forward and of the backward cell."""

    forward: Any
    backward: Any


def by_layer(states: Sequence[Any], *, bidirectional: bool) -> tuple[Any, ...]:
    """Return the states of cells, layer by layer and forward before backward, as the state of a recurrent layer."""
    if not bidirectional:
        return tuple(states)
    return tuple(BothDirections(*pair) for pair in zip(states[::2], states[1::2], strict=True))


def by_cell(state: tuple[Any, ...] | None, num_layers: int, *, bidirectional: bool) -> list[Any]:
    """Return the states of the cells, the inverse of `by_layer`; None for each of them without a state.

    Raises:
        UserError: if the state has another structure.
    """
    if state is None:
        return [None] * num_layers * (2 if bidirectional else 1)
    if type(state) is not tuple or len(state) != num_layers:
        raise _wrong_structure(f"a tuple with one state for each of {num_layers} layers", state)
    if not bidirectional:
        return list(state)
    if not all(isinstance(both, BothDirections) for both in state):
        raise _wrong_structure("BothDirections(forward, backward) for every layer", state[0])
    return [part for both in state for part in both]


def _wrong_structure(expected: str, state: object) -> UserError:
    got = f"{type(state).__name__} of {len(state)}" if isinstance(state, tuple) else type(state).__name__
    return UserError(
        "state", expected, got, fix="the state that this RNN returned, or state=None for the initial state"
    )
