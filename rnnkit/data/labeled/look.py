"""Labeled sequences looked at before they are learned: ids that come twice, classes and their counts."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from rnnkit.data.labeled.example import Labeled
from rnnkit.notices import counted, listed, notice

SHOWN = 12
"""Classes that are named with their counts."""

_WORD = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w -]*(?<! )|[1-9][0-9]*|0", re.IGNORECASE)


def look_at_ids(split: str, examples: Sequence[Labeled]) -> None:
    """Print how many sequences have the id of another one."""
    again = Counter(example.id for example in examples)
    twice = [f"{id_!r}" for id_, count in again.items() if count > 1]
    if twice:
        notice(f"{split}: {counted(len(twice), 'id')} of more than one sequence: {listed(twice)}")


def look_at_classes(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print the classes of each split with their counts, what they lack, and names that may be one.

    `counts` is from the name of a split to the number of its sequences by class; "train" comes first.
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
            notice(f"classes that may be one: {shown}{f'; {fix} makes them one' if fix else ''}")


def relabeling(argument: str, names: Mapping[str, str]) -> str:
    """What to type so that labels get other names; nothing where the command line cannot spell them.

    >>> relabeling("data.relabel", {"Yes": "yes"}), relabeling("data.relabel", {"a:b": "c"})
    ('"data.relabel={Yes: yes}"', '')
    """
    if not all(_WORD.fullmatch(name) for name in [*names, *names.values()]):
        return ""
    return f'"{argument}={{{", ".join(f"{label}: {name}" for label, name in names.items())}}}"'


def _plain(name: str) -> str:
    """The same for names that differ in case, in blanks, or in how a number is written."""
    try:
        number = float(name)
        return repr(number) if math.isfinite(number) else name
    except ValueError:
        return " ".join(name.casefold().split())
