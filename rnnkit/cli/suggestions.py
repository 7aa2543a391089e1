"""What may have been meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that looks most like `word`.

    >>> nearest("trian", ["resume", "train"])
    'train'
    """
    known = list(known)
    return (difflib.get_close_matches(word, known, n=1, cutoff=0.0) or known or [""])[0]


def nearest_keys(key: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The keys that look most like a dotted `key`, judged whole and by their last part.

    >>> nearest_keys("model.hiden_size", ["model.hidden_size", "model.dropout", "seed"])[0]
    'model.hidden_size'
    >>> nearest_keys("lr", ["optimizer.lr", "seed"])[0]
    'optimizer.lr'
    """

    def likeness(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, key, candidate).ratio()
        last = difflib.SequenceMatcher(None, key.split(".")[-1], candidate.split(".")[-1]).ratio()
        return max(whole, 0.9 * last)

    ranked = sorted(known, key=likeness, reverse=True)
    return [candidate for candidate in ranked[:most] if likeness(candidate) > 0.5]
