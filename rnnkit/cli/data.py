"""`rnnkit data list` and `rnnkit data get NAME`."""

from rnnkit.cli.arguments import Parser
from rnnkit.data import catalog
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser("data", "Data sets that rnnkit knows by name.")
    parser.add_argument("action", choices=["list", "get"], help="list them, or download (or check) one")
    parser.add_argument("name", nargs="?", help="the data set to get")
    given = parser.parse(arguments)
    if given.action == "get" and given.name is None:
        raise UserError("name", "a data set", "none", fix="rnnkit data list, then rnnkit data get NAME")
    if given.action == "list":
        for row in catalog.rows():
            where = f"in {row.where}" if row.where else f"not here: rnnkit data get {row.name}"
            print(f"{row.name:<17} {row.size / 1e6:5.1f} MB  {row.description} ({row.license})\n{'':<27}{where}")
    else:
        for part, path in catalog.get(given.name).items():
            print(f"{part:<6} {path}")
    return 0
