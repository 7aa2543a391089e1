"""The batch that takes the most memory, of which a loader gives a part to be tried before training."""

from typing import NamedTuple

from rnnkit.batch import SequenceBatch


class WorstCase(NamedTuple):
    """Some rows of the largest batch of a loader, as returned by its `worst_case(rows)`."""

    batch: SequenceBatch
    """As many rows as were asked for. It may be cut short in time."""
    rows: int
    """Rows of the whole batch, of all processes together."""
    steps: int
    """Time steps of the whole batch."""
    rows_option: str
    """The option of the data that sets `rows` in training; in validation it begins with `eval_`."""
    steps_option: str | None = None
    """The option that sets `steps`; None where the data set it."""
