"""Columns of Parquet files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.packed import check_unpacked
from rnnkit.errors import UserError
from rnnkit.notices import notice


def read_parquet(path: Path, argument: str) -> tuple[dict[str, NDArray[Any]], dict[str, str], int]:
    """Read the columns of a Parquet file, the time zones of its columns of times, and the number of its rows.

    Columns of lists and structures are left out, and their names are printed.

    Raises:
        UserError: the file cannot be read or is implausibly large when it is unpacked, or pyarrow is not installed. The
            message names `argument`.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            argument, "pyarrow, to read Parquet", "it is not installed", fix="pip install 'rnnkit[timeseries]'"
        ) from error
    try:
        schema = parquet.read_schema(path)
        flat = [field for field in schema if not arrow.types.is_nested(field.type)]
        texts = [field.name for field in flat if _is_text(field.type)]
        batches, size = [], 0
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(columns=[field.name for field in flat]):
                size += batch.nbytes + batch.num_rows
                check_unpacked(size, path.stat().st_size, str(path), argument)
                batches.append(batch)
        table = arrow.Table.from_batches(batches) if batches else arrow.schema(flat).empty_table()
    except (OSError, arrow.ArrowException) as error:
        raise UserError(
            argument, "a Parquet file that can be read", f"{path}: {error}", fix=f"{argument}=another"
        ) from error
    if len(flat) < len(schema):
        nested = ", ".join(field.name for field in schema if field not in flat)
        notice(f"{path}: columns of lists or structures, left out: {nested}")
    columns: dict[str, Any] = {}
    zones: dict[str, str] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if _is_text(kind):
            columns[name] = _texts(column)
            continue
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


def _is_text(kind: Any) -> bool:
    import pyarrow as arrow

    value = kind.value_type if arrow.types.is_dictionary(kind) else kind
    return bool(arrow.types.is_string(value) or arrow.types.is_large_string(value))


def _texts(column: Any) -> Any:
    """The texts of a column as objects. Rows with the same text share one, so that few bytes remain few."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not hasattr(array, "dictionary"):
        array = array.dictionary_encode()
    words = np.append(array.dictionary.to_numpy(zero_copy_only=False).astype(object), [None])
    return words[array.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
