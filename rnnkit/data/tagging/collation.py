"""Sentences to a batch."""

from collections.abc import Sequence

import torch

from rnnkit.batch import IGNORED, SequenceBatch, TokenInputs
from rnnkit.data.loading.batches import padded
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.data.tagging.vocabulary import Vocabulary


def collate(sentences: Sequence[Sentence], vocabulary: Vocabulary) -> SequenceBatch:
    """The batch of some sentences, with the characters of each distinct word once; encodes what is not encoded yet."""
    tables = {None if sentence.encoded is None else id(sentence.encoded.forms) for sentence in sentences}
    if None in tables or len(tables) > 1:  # new sentences, or such as come from several splits
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
    lengths = torch.tensor(sizes)
    index = index_N.view_as(form) if is_full else torch.zeros_like(form)
    if not is_full:
        valid_BT = torch.arange(form.shape[1]) < lengths[:, None]
        index[valid_BT] = index_N
        tags = tags.masked_fill(~valid_BT, IGNORED)
    words, vectors, usual, tags = (ids_BT.contiguous() for ids_BT in (words, vectors, usual, tags))
    inputs = TokenInputs(words, vectors, index, characters_UK, sizes_U, usual)
    return SequenceBatch(inputs, tags, None if is_full else lengths, valid=None if is_full else sum(sizes))
