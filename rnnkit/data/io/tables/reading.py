"""Reading of whole tables with typed columns."""

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.assembly import TableBuilder, TextColumns
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.source import Source, table_files
from rnnkit.data.io.tables.table import Table


def read_table(
    paths: Paths | None,
    argument: str,
    form: TableFormat,
    *,
    named: bool = False,
    text_columns: TextColumns = lambda names: (),
    notes: Findings | None = None,
    first: int = 0,
) -> Table:
    """Read a table from text with delimiters, JSON lines or Parquet. Several files with the same columns are joined.

    Args:
        paths: a file, a folder, a glob or a list of these; None reads standard input.
        argument: the argument that error messages name.
        form: what the user stated about the format.
        named: whether a column is given by name, so that there is a header.
        text_columns: the columns whose cells are kept as they are written, even if they are numbers.
        notes: counts what is skipped or assumed. None prints it.
        first: the name of the first column of a table without a header.

    Raises:
        UserError: a file cannot be read, is empty, has rows with different numbers of cells, or has other columns than
            the file before. The message has the line.
    """
    findings = Findings() if notes is None else notes
    builder = TableBuilder(argument, form, text_columns, findings, first)
    sources = table_files(paths, argument, findings)
    for source in sources:
        builder.read(source, named=named)
    table = builder.finish(sources)
    if notes is None:
        findings.print()
    return table


def table_of_text(
    text: str,
    name: str,
    argument: str,
    form: TableFormat,
    *,
    named: bool = False,
    text_columns: TextColumns = lambda names: (),
    notes: Findings,
) -> Table:
    """Read a table from the text of a file; see `read_table`."""
    builder = TableBuilder(argument, form, text_columns, notes)
    source = Source(name, None)
    if form.of_file(name) == "jsonl":
        builder.read_objects(source, iter([text]))
    else:
        builder.read_text(source, text, iter([text]), named=named)
    return builder.finish([source])
