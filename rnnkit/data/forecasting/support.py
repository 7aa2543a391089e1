"""Check of values against the support of a distribution."""

from collections.abc import Sequence

import numpy as np

from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frames import read_file
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.errors import UserError
from rnnkit.support import Support


def check_support(
    panel: Panel, support: Support, form: Format, files: Sequence[Paths | None], argument: str, *, trained: bool
) -> None:
    """Check that all values are within a support.

    Args:
        panel: the series.
        support: the support of the distribution.
        form: the format of the files.
        files: the file of each part of a frame; None if it is not a file, or cannot be read twice.
        argument: the argument that error messages name.
        trained: whether the model is already trained. The suggested fix is then another file.

    Raises:
        UserError: a value is outside. The message has the place of the first one.
    """
    outside_VC = support.outside(panel.values)
    if not outside_VC.any():
        return
    row, channel = np.argwhere(outside_VC)[0].tolist()
    series = int(np.searchsorted(panel.starts, row, side="right")) - 1
    step = row - int(panel.starts[series])
    frame = panel.frames[series]
    file = files[frame.part[step]]
    where = [
        *([] if file is None else [_line(file, form, support)]),
        *([f"series {panel.ids[series]}"] if panel.ids[series] else []),
        f"step {step + 1:,}" if frame.times is None else str(frame.times[step]).removesuffix("T00:00:00.000000"),
    ]
    more = f", and {outside_VC.sum() - 1:,} more" if outside_VC.sum() > 1 else ""
    got = f"{panel.values[row, channel]:.15g} at {', '.join(where)}{more}"
    fix = f"a file without such values, or a run trained with {support.fix}" if trained else support.fix
    raise UserError(argument, support.expected, got, fix=fix)


def _line(file: Paths, form: Format, support: Support) -> str:
    """The file and, if its rows are times, the line of its first value outside the support."""
    if form.layout == "rows":
        return str(file)
    table = read_file(file, "data.target", form, Findings())
    outside = np.logical_or.reduce([support.outside(table.numbers(name, "data.target")) for name in form.target])
    # there is no such line if the value is the mean of several rows
    return table.place(int(outside.argmax())) if outside.any() else str(file)
