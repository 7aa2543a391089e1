"""One split of a corpus as ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rnnkit.data.corpus.corpus import Block, Corpus
from rnnkit.data.corpus.measure import Length
from rnnkit.data.corpus.store import Store
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.data.tokenizers import Tokenizer
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice


@dataclass(frozen=True)
class TextSplit:
    """One split: its tokens, and its length in units that do not depend on the tokenizer.

    A loss summed over the split, divided by one of these lengths, is a loss per such unit.

    Attributes:
        tokens: ids [N], int32. Those of a large corpus are on disk: they have a length, and slices are tensors.
        unknown: the number of `<unk>` tokens.
        words: the number of words. The end of every line counts as one, as for perplexities in the literature.
    """

    tokens: Tensor | StoredTokens
    characters: int
    bytes: int
    words: int
    unknown: int

    @property
    def units(self) -> dict[str, int]:
        """The length of the split by the name of the unit."""
        return {"char": self.characters, "byte": self.bytes, "word": self.words}

    @classmethod
    def of(cls, name: str, corpus: Corpus, blocks: Sequence[Block], tokenizer: Tokenizer) -> "TextSplit":
        """Encode the blocks of a split, and print its number of tokens.

        Raises:
            UserError: it has fewer than two tokens.
        """
        ids, unknown = Store(), 0
        ids.expected = sum(block.stop - block.start for block in blocks)
        for text in corpus.texts(blocks):
            part = tokenizer.encode(text).numpy()
            unknown += int(np.count_nonzero(part == tokenizer.unknown))
            ids.append(part)
        tokens = StoredTokens(ids)
        if len(tokens) < 2:
            fix = f"a longer text, or data.{name}=another.txt"
            raise UserError(f"{name} split", "at least two tokens", f"{len(tokens)}", fix=fix)
        notice(f"{name}: {counted(len(tokens), 'token')}, {unknown:,} of them unknown")
        length = Length.of(block.measure for block in blocks)
        return cls(tokens if tokens.is_on_disk else tokens[:], *length, unknown)
