"""Collation of sentences into batches."""

from collections.abc import Sequence

import torch

from rnnkit.batch import IGNORED, SequenceBatch, TagExtra, TokenInputs
from rnnkit.data.loading.batches import padded
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.data.tagging.vocabulary import Vocabulary


def collate(sentences: Sequence[Sentence], vocabulary: Vocabulary) -> SequenceBatch:
    """Collate sentences. The characters of each distinct word are stored once. Sentences are encoded if necessary."""
    tables = {None if sentence.encoded is None else id(sentence.encoded.forms) for sentence in sentences}
    if None in tables or len(tables) > 1:  # new sentences, or sentences of several splits
        vocabulary.encode(sentences)
    encoded = [sentence.encoded for sentence in sentences if sentence.encoded is not None]
    sizes = [len(sentence.tokens) for sentence in sentences]
    ids_NX = torch.cat([one.ids for one in encoded])
    words, vectors, form, usual, tags = padded([one.ids for one in encoded]).unbind(-1)
    distinct_U, index_N = torch.unique(ids_NX[:, 2], return_inverse=True)
    forms = encoded[0].forms
    sizes_U = forms.sizes[distinct_U]
    characters_UK = forms.characters[distinct_U, : int(sizes_U.max())].long()
    is_full = min(sizes) == max(sizes)
    index = index_N.view_as(form) if is_full else torch.zeros_like(form)
    if not is_full:
        valid_BT = torch.arange(form.shape[1]) < torch.tensor(sizes)[:, None]
        index[valid_BT] = index_N
        tags = tags.masked_fill(~valid_BT, IGNORED)
    words, vectors, usual, tags = (ids_BT.contiguous() for ids_BT in (words, vectors, usual, tags))
    inputs = TokenInputs(words, vectors, index, characters_UK, sizes_U)
    return SequenceBatch.of(inputs, tags, sizes, extra=TagExtra(usual))
