"""Which files the splits come from."""

from collections.abc import Mapping
from typing import NamedTuple

from rnnkit.data import catalog
from rnnkit.data.sources import Paths
from rnnkit.errors import UserError


class Origin(NamedTuple):
    """What the user named: the first of these that is given is read.

    * `path`: divided into splits; * `parts`: the splits by name; * `dataset`: a name of `rnnkit data list`.
    """

    path: Paths | None
    parts: dict[str, Paths]
    dataset: str | None

    def found(self) -> dict[str, tuple[Paths, str]]:
        """Paths and the argument that named them, by "path" or the name of a split; empty where nothing is named.

        Raises UserError for paths that exclude each other, or a data set that is not here.
        """
        if self.path and self.parts:
            given = ", ".join(f"data.{name}" for name in self.parts)
            raise UserError("data.path", "either data.path or data.train", f"{given} too", fix="data.path=null")
        if self.path:
            return {"path": (self.path, "data.path")}
        if self.parts:
            return {name: (paths, f"data.{name}") for name, paths in self.parts.items()}
        if self.dataset:
            return {name: (path, "data.dataset") for name, path in catalog.find(self.dataset).items()}
        return {}


def check_parts(parts: Mapping[str, tuple[Paths, str]], *, trained: bool) -> None:
    """Raises UserError where there is nothing to train on, or two splits are the same file."""
    if not trained and "path" not in parts and "train" not in parts:
        given = " and ".join(f"data.{name}" for name in parts)
        raise UserError("data.train", "a training split", f"{given} only", fix="data.train=a file")
    seen: dict[str, str] = {}
    for name, (paths, argument) in parts.items():
        if seen.setdefault(str(paths), name) != name:
            got = f"the file of data.{seen[str(paths)]}"
            raise UserError(argument, "another file than that of the other splits", got, fix=f"data.{name}=null")
