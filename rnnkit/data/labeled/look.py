"""Notices about labeled sequences before training: repeated ids, and counts of classes."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from rnnkit.data.labeled.example import Labeled
from rnnkit.notices import counted, listed, notice

SHOWN = 12
"""The largest number of classes that are printed with their counts."""

_WORD = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w -]*(?<! )|[1-9][0-9]*|0", re.IGNORECASE)


def report_repeated_ids(split: str, examples: Sequence[Labeled]) -> None:
    """Print the number of ids that are not unique."""
    again = Counter(example.id for example in examples)
    twice = [f"{id_!r}" for id_, count in again.items() if count > 1]
    if twice:
        notice(f"{split}: {counted(len(twice), 'id')} of more than one sequence: {listed(twice)}")


def report_classes(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print the classes of each split with their counts, missing classes, and names that may be the same class.

    Args:
        counts: for each split, "train" first, the number of sequences by class.
    """
    train = counts["train"]
    for split, found in counts.items():
        names = [f"{name} {found[name]:,}" for name in train if found.get(name)]
        lacking = [name for name in train if not found.get(name)]
        without = f"; none of {listed(lacking, SHOWN)}" if lacking else ""
        notice(f"{split}: classes {listed(names, SHOWN)}{without}")
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in train:
        alike[_plain(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            most = max(names, key=lambda name: train[name])
            shown = " and ".join(f"{name!r} ({train[name]:,})" for name in names)
            fix = relabeling("data.relabel", {name: most for name in names if name != most})
            notice(f"classes that may be the same: {shown}{f'; {fix} merges them' if fix else ''}")


def relabeling(argument: str, names: Mapping[str, str]) -> str:
    """The argument that gives labels other names, or "" if it cannot be written on the command line.

    >>> relabeling("data.relabel", {"Yes": "yes"}), relabeling("data.relabel", {"a:b": "c"})
    ('"data.relabel={Yes: yes}"', '')
    """
    if not all(_WORD.fullmatch(name) for name in [*names, *names.values()]):
        return ""
    return f'"{argument}={{{", ".join(f"{label}: {name}" for label, name in names.items())}}}"'


def _plain(name: str) -> str:
    """A normal form that is equal for names that differ in case, in whitespace, or in the notation of a number."""
    try:
        number = float(name)
        return repr(number) if math.isfinite(number) else name
    except ValueError:
        return " ".join(name.casefold().split())
