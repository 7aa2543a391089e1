"""The `rnnkit data list` and `rnnkit data get NAME` commands."""

from rnnkit.cli.arguments import Parser
from rnnkit.data import catalog
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("data", "List and download the named data sets.")
    parser.add_argument(
        "action", choices=["list", "get"], help="list: all data sets; get: download one, or verify its files"
    )
    parser.add_argument("name", nargs="?", help="the data set to download")
    given = parser.parse(arguments)
    if given.action == "get" and given.name is None:
        raise UserError("name", "a data set", "none", fix="rnnkit data list, then rnnkit data get NAME")
    if given.action == "list":
        for row in catalog.rows():
            where = f"in {row.where}" if row.where else f"not downloaded; run: rnnkit data get {row.name}"
            print(f"{row.name:<17} {row.size / 1e6:5.1f} MB  {row.description} ({row.license})\n{'':<27}{where}")
    else:
        for part, path in catalog.get(given.name).items():
            print(f"{part:<6} {path}")
    return 0
