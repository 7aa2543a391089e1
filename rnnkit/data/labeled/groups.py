"""Stratified division of groups of examples into splits."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from rnnkit.errors import UserError


def divide(
    strata: Sequence[str], groups: Sequence[str | None], valid_fraction: float, test_fraction: float
) -> dict[str, list[int]]:
    """Divide examples into splits.

    All examples of a group are in the same split. If no group has examples of two strata (in particular, if there are
    no groups), the division is stratified: each stratum contributes to each split as closely as possible by the
    fraction, and with at least one group if it has enough (the first is for training). Otherwise all groups are one
    stratum.

    A hash of its name assigns a group to a split. Without groups, the hash of the index in its stratum assigns an
    example. The division is the same on every machine and for every seed.

    Args:
        strata: the stratum of each example.
        groups: the group of each example, or None.
        valid_fraction: the fraction of examples for validation.
        test_fraction: the fraction of examples for test.

    Returns:
        The indices of the examples of "train", "valid" and "test", each in ascending order.

    Raises:
        UserError: a requested split is empty.

    >>> divide(["a"] * 6 + ["b"] * 3, [None] * 9, valid_fraction=0.34, test_fraction=0)
    {'train': [1, 2, 3, 5, 7, 8], 'valid': [0, 4, 6], 'test': []}
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for index, (stratum, group) in enumerate(zip(strata, groups, strict=True)):
        members[(stratum, seen[stratum]) if group is None else group].append(index)
        seen[stratum] += group is None
    mixed = any(len({strata[index] for index in indices}) > 1 for indices in members.values())
    shelves: dict[str, list[Hashable]] = defaultdict(list)
    for unit, indices in members.items():
        shelves["" if mixed else strata[indices[0]]].append(unit)
    assigned: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for units in shelves.values():
        rest = sorted(units, key=_place)
        total = sum(len(members[unit]) for unit in rest)
        for name, fraction, others in (("test", test_fraction, 1 + (valid_fraction > 0)), ("valid", valid_fraction, 1)):
            taken = _taken([len(members[unit]) for unit in rest], fraction * total, len(rest) - others)
            assigned[name] += [index for unit in rest[:taken] for index in members[unit]]
            rest = rest[taken:]
        assigned["train"] += [index for unit in rest for index in members[unit]]
    for name, fraction in (("valid", valid_fraction), ("test", test_fraction)):
        if fraction > 0 and not assigned[name]:
            of = f"{len(strata):,} sequences" + ("" if groups[0] is None else f" in {len(members)} groups")
            raise UserError(
                f"data.split.{name}_fraction", f"a {name} split", f"none of {of}", fix=f"data.{name}=a file"
            )
    return {name: sorted(indices) for name, indices in assigned.items()}


def check_disjoint_groups(groups: Mapping[str, Sequence[str | None]]) -> None:
    """Raise UserError if a group is in two splits. `groups` has the groups of the examples of each split."""
    home: dict[str, str] = {}
    for split, names in groups.items():
        for name in dict.fromkeys(names):
            if name is not None and home.setdefault(name, split) != split:
                raise UserError(
                    "groups",
                    "each in only one split, because a model may recognize a person or machine",
                    f"{name!r} in {home[name]} and {split}",
                    fix="data.path=all files, to divide them by group, or no column or pattern for groups",
                )


def _taken(sizes: Sequence[int], goal: float, most: int) -> int:
    """The number of first groups with about `goal` examples: from 1 to `most`, and 0 for a goal of 0."""
    if goal == 0 or most < 1:
        return 0
    taken, count = 1, sizes[0]
    while taken < most and abs(count + sizes[taken] - goal) <= abs(count - goal):
        count += sizes[taken]
        taken += 1
    return taken


def _place(unit: Hashable) -> bytes:
    return hashlib.sha256(repr(unit).encode("utf-8", "surrogateescape")).digest()
