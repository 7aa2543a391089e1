"""Types and checks of the file with everything that tagging data learned."""

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from annotated_types import MinLen

from rnnkit.ranges import NonNegativeInt, PositiveInt
from rnnkit.structure import check

Scheme: TypeAlias = Literal["bio", "bioes", "bilou", "bmes", "bmewo", "io", "iob1", "ioe1", "ioe2"] | None


class LearnedVocabulary(TypedDict):
    """See `rnnkit.data.tagging.vocabulary.Vocabulary`."""

    scheme: Scheme
    max_characters: PositiveInt
    lowercase: bool
    words: list[str]
    rare_from: PositiveInt
    vector_words: list[str]
    alphabet: list[str]
    tags: Annotated[list[str], MinLen(1)]
    usual: dict[str, NonNegativeInt]


class LearnedFiles(TypedDict):
    """The format of training, and the columns: token, tag, number of columns, separator."""

    format: Literal["conllu", "columns", "jsonl"]
    columns: tuple[int, int, PositiveInt | None, str | None] | None


class Learned(TypedDict):
    """The content of the file."""

    vocabulary: LearnedVocabulary
    own_scheme: Scheme
    files: LearnedFiles
    vector_size: NonNegativeInt


def check_learned(learned: Any) -> None:
    """Check the types and the consistency of the content of the file.

    Raises:
        ValueError: a value has another type, or values contradict each other.
    """
    check(learned, Learned)
    known = learned["vocabulary"]
    for name in ("words", "vector_words", "alphabet", "tags"):
        if len(set(known[name])) < len(known[name]):
            raise ValueError(f"vocabulary.{name} has a repeated entry")
    if known["rare_from"] > len(known["words"]) + 1:
        raise ValueError(f"vocabulary.rare_from is {known['rare_from']} for {len(known['words'])} words")
    if any(len(character) != 1 for character in known["alphabet"]):
        raise ValueError("vocabulary.alphabet has an entry that is not one character")
    if "" not in known["usual"] or max(known["usual"].values()) >= len(known["tags"]):
        raise ValueError("vocabulary.usual has no usual tag, or one that is not in vocabulary.tags")
    if bool(learned["vector_size"]) != bool(known["vector_words"]):
        raise ValueError("vector_size and vocabulary.vector_words contradict each other")
    columns = learned["files"]["columns"]
    if columns is None:
        return
    *places, width, divider = columns
    if width is not None and not all(-width <= place < width for place in places):
        raise ValueError(f"files.columns has a column that is not among {width}")
    if divider is not None and len(divider) != 1:
        raise ValueError(f"files.columns has {divider!r} between columns")
