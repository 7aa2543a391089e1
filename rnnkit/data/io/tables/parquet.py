"""Columns of Parquet files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import UserError


def read_parquet(path: Path, argument: str) -> tuple[dict[str, NDArray[Any]], dict[str, str], int]:
    """Read the columns of a Parquet file, the time zones of its columns of times, and the number of its rows.

    Raises:
        UserError: the file cannot be read, or pyarrow is not installed. The message names `argument`.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            argument, "pyarrow, to read Parquet", "it is not installed", fix="pip install 'rnnkit[timeseries]'"
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise UserError(
            argument, "a Parquet file that can be read", f"{path}: {error}", fix=f"{argument}=another"
        ) from error
    columns: dict[str, Any] = {}
    zones: dict[str, str] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if arrow.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        if arrow.types.is_decimal(kind) or arrow.types.is_boolean(kind):
            column = column.cast("float64")
        values = column.to_numpy()
        is_time = arrow.types.is_timestamp(kind) or arrow.types.is_date(kind)
        columns[name] = np.asarray(values, "datetime64[us]") if is_time else values
        if arrow.types.is_timestamp(kind) and kind.tz is not None:
            zones[name] = kind.tz
    if len(columns) < len(table.column_names):
        raise UserError(argument, "columns with distinct names", str(path), fix=f"{argument}=another.parquet")
    return columns, zones, table.num_rows
