"""A generator for functions of torch that take none."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Within the block torch draws from `generator`, and the global generator stays as it is; None for the global one.

    >>> generator = torch.Generator().manual_seed(1)
    >>> with drawing_from(generator):
    ...     drawn = torch.rand(2)
    >>> torch.equal(drawn, torch.rand(2, generator=torch.Generator().manual_seed(1)))
    True
    """
    if generator is None:
        yield
        return
    device = generator.device
    shared = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    before = shared.get_state()
    shared.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(shared.get_state())
        shared.set_state(before)
