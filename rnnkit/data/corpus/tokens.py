"""Token ids that are read from a store on demand."""

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.corpus.store import Store


class StoredTokens:
    """The token ids of a text, in memory or on disk. They have a length, and slices are int32 tensors.

    >>> ids = Store()
    >>> ids.append(np.array([7, 8, 9, 7]))
    >>> tokens = StoredTokens(ids)
    >>> len(tokens), tokens[1:]
    (4, tensor([8, 9, 7], dtype=torch.int32))
    """

    dtype = torch.int32

    def __init__(self, ids: Store) -> None:
        self._ids = ids

    @property
    def is_on_disk(self) -> bool:
        """Whether the ids are on disk."""
        return self._ids.is_on_disk

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, part: slice) -> Tensor:
        """The ids of a slice [N]."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a slice of stored tokens has no step")
        return torch.from_numpy(self._ids.read(start, stop).astype(np.int32))
