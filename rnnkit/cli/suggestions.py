"""Suggestions for misspelled words and keys."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most similar to `word`.

    >>> nearest("trian", ["resume", "train"])
    'train'
    """
    known = list(known)
    return (difflib.get_close_matches(word, known, n=1, cutoff=0.0) or known or [""])[0]


def nearest_keys(key: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The keys that are most similar to a dotted `key`, as a whole or in their last part.

    >>> nearest_keys("model.hiden_size", ["model.hidden_size", "model.dropout", "seed"])[0]
    'model.hidden_size'
    >>> nearest_keys("lr", ["optimizer.lr", "seed"])[0]
    'optimizer.lr'
    """

    def similarity(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, key, candidate).ratio()
        last = difflib.SequenceMatcher(None, key.split(".")[-1], candidate.split(".")[-1]).ratio()
        return max(whole, 0.9 * last)

    ranked = sorted(known, key=similarity, reverse=True)
    return [candidate for candidate in ranked[:most] if similarity(candidate) > 0.5]
