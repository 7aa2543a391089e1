"""The .ts format of the UEA and UCR archives (Bagnall et al. 2018, arXiv:1811.00075)."""

import numpy as np

from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.numbers import numbers
from rnnkit.errors import UserError


def read_ts(text: str, name: str, *, targets: bool, argument: str, notes: Findings | None = None) -> list[Labeled]:
    r"""Read the series of a `.ts` file. Their inputs are [T, I] float64, with NaN for missing values.

    Lines that start with `#` are comments. Lines that start with `@` are the header, which ends at `@data`. Each
    following line is a series: channels are separated by `:`, values by `,`, a missing value is `?`, and the last field
    is its class or, with `@targetLabel`, its number. Series may have different lengths.

    Args:
        text: the content of the file.
        name: the name of the file, for error messages.
        targets: whether targets are required.
        argument: the argument that error messages name.
        notes: counts headers with a wrong number of channels, or with a class that no series has.

    Raises:
        UserError: the file has time stamps, which are not supported; the number of channels differs between series; the
            channels of a series have different lengths; a value is not a number; a class is not in the header; or a
            required target is missing. The message has the line.

    >>> series = read_ts("@classLabel true a b\n@data\n1,2,3:4,5,6:b\n", "x.ts", targets=True, argument="data.path")
    >>> series[0].inputs.tolist(), series[0].target, series[0].place
    ([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], 'b', 'x.ts line 3')
    """
    lines = text.split("\n")
    header, start = _header(lines, name, argument)
    classes = header.get("classlabel", [""])
    labeled = classes[0].lower() == "true" or header.get("targetlabel", [""])[0].lower() == "true"
    if header.get("timestamps", [""])[0].lower() == "true":
        got = f"{name} with @timeStamps true"
        raise UserError(
            argument, "a .ts file without time stamps", got, fix="the same series as a long .csv with steps"
        )
    if targets and not labeled:
        raise UserError(argument, "a .ts file with @classLabel true", f"{name} without", fix="the labeled file")
    series: list[Labeled] = []
    channels = 0
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() or line.startswith("#"):
            continue
        place = f"{name} line {number}"
        parts = line.strip().split(":")
        target = parts.pop().strip() if labeled else None
        channels = channels or len(parts)
        if len(parts) != channels or not parts:
            expected = f"{channels or 'one or more'} channels in every series"
            raise UserError(argument, expected, f"{len(parts)} at {place}", fix="the missing channels")
        if targets and len(classes) > 1 and target not in classes[1:]:
            expected = f"one of the classes that the header names, {' '.join(classes[1:])}"
            raise UserError(argument, expected, f"{target!r} at {place}", fix="the header or the line")
        cells = [part.split(",") for part in parts]
        if len({len(row) for row in cells}) > 1:
            got = f"{', '.join(str(len(row)) for row in cells)} at {place}"
            raise UserError(argument, "channels of one length within a series", got, fix="? for missing values")
        values_I = [numbers(row, place, argument) for row in cells]
        series.append(Labeled(np.stack(values_I, 1), target if targets else None, len(series), place))
    if notes is not None:
        said = (header.get("dimensions") or header.get("dimension") or [""])[0]
        if said.isdigit() and int(said) != channels:
            notes.add(f"headers with @dimensions {said} for series of {channels} channels, ignored", name)
        for unused in sorted(set(classes[1:]) - {one.target for one in series}) if targets else ():
            notes.add(f"headers that name a class no series has, {unused!r}", name)
    if not series:
        raise UserError(argument, "a series after @data", f"none in {name}", fix=f"{argument}=another file")
    return series


def _header(lines: list[str], name: str, argument: str) -> tuple[dict[str, list[str]], int]:
    """The words after each key (in lower case, without the @), and the number of lines up to @data."""
    header: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if line.startswith("@"):
            key, *words = line[1:].split() or [""]
            if key.lower() == "data":
                return header, number + 1
            header[key.lower()] = words
        elif line.strip() and not line.startswith("#"):
            break
    raise UserError(argument, "a .ts file with a line @data", f"{name} without", fix="the file of the archive")
