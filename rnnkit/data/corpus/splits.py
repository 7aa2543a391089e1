"""Division of a corpus into training, validation and test text."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rnnkit.data.corpus.corpus import Block, Corpus, Document
from rnnkit.data.loading.split import FractionSplit
from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, Level

MANY_FILES = 100
"""The smallest number of files that are assigned to splits as a whole. With fewer, a split is often empty."""


def split(
    corpus: Corpus, documents: Sequence[Document], valid_fraction: float, test_fraction: float
) -> dict[str, list[Block]]:
    """Divide documents of a corpus into "train", "valid" and, unless `test_fraction` is 0, "test".

    * Fewer than `MANY_FILES` files are joined in their order and divided by characters: training text first, test text
      last. At word level, a boundary moves to the end of its line.
    * More files are assigned as a whole, by a hash of their names. A file keeps its split and its order on every
      machine, even if other files are added or removed. The hash also sorts the files within a split, so that
      neighboring files of a folder are in different lanes.

    Args:
        corpus: the corpus.
        documents: the documents to divide.
        valid_fraction: the fraction of characters (or of files, in the second case) for validation.
        test_fraction: the fraction for test.

    Raises:
        UserError: a fraction is out of range, or a split is empty.

    >>> from rnnkit.data import CharTokenizer
    >>> corpus = Corpus(CharTokenizer)
    >>> found = split(corpus, [corpus.add("digits", ["0123456789"])], valid_fraction=0.2, test_fraction=0.1)
    >>> {name: "".join(corpus.texts(blocks)) for name, blocks in found.items()}
    {'train': '0123456', 'valid': '78', 'test': '9'}
    """
    CorpusSplit(valid_fraction, test_fraction)  # checks them
    deal = _by_name if len(documents) >= MANY_FILES else _by_position
    found = deal(corpus, documents, valid_fraction, test_fraction)
    if test_fraction == 0:
        del found["test"]
    for name, blocks in found.items():
        if not blocks:
            argument = "data.split.test_fraction" if name == "test" else "data.split.valid_fraction"
            is_whole = deal is _by_position and not corpus.kind.cuts_anywhere
            fix = "data.level=char, which can divide lines" if is_whole else f"{argument}=0.3"
            raise UserError(
                argument,
                f"a {name} split with text in it",
                f"nothing, from {len(documents)} files, {valid_fraction=} and {test_fraction=}",
                fix=f"{fix}, or data.train=FILE data.valid=FILE",
            )
    return found


def _by_position(
    corpus: Corpus, documents: Sequence[Document], valid_fraction: float, test_fraction: float
) -> dict[str, list[Block]]:
    whole = corpus.joined(documents)
    length = sum(block.measure.characters for block in whole)
    # rounded, because 50 * (1 - 0.42) is slightly less than 29 in floating point
    first, second = (int(round(length * (1 - rest), 6)) for rest in (valid_fraction + test_fraction, test_fraction))
    rest, test = corpus.cut(whole, second)
    train, valid = corpus.cut(rest, first)
    return {"train": train, "valid": valid, "test": test}


def _by_name(
    corpus: Corpus, documents: Sequence[Document], valid_fraction: float, test_fraction: float
) -> dict[str, list[Block]]:
    assigned: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    for document in sorted(documents, key=lambda document: (_place(document.name), document.name)):
        place = _place(document.name)
        if place < valid_fraction:
            assigned["valid"].append(document)
        elif place < valid_fraction + test_fraction:
            assigned["test"].append(document)
        else:
            assigned["train"].append(document)
    return {name: corpus.joined(documents) for name, documents in assigned.items()}


def _place(name: str) -> float:
    """A number from 0 to 1 that depends only on the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True)
class CorpusSplit(FractionSplit):
    """The parts of a corpus for validation and test: fractions of its characters or, from 100 files on, of its files.

    Args:
        valid_fraction: the fraction for validation.
        test_fraction: the fraction for test; 0 makes no test split.

    Raises:
        UserError: a fraction is out of range, or nothing is left for training.
    """

    valid_fraction: Level = 0.05
    test_fraction: Fraction = 0.05
