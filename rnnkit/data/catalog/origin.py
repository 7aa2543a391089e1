"""The origin of the splits: the files that the user named."""

from collections.abc import Mapping
from typing import NamedTuple

from rnnkit.data import catalog
from rnnkit.data.io.sources import Paths
from rnnkit.errors import UserError
from rnnkit.notices import notice


class Origin(NamedTuple):
    """The files that the user named. The first of these attributes that is given is read.

    Attributes:
        path: files to divide into splits.
        parts: the files of each split, by its name.
        dataset: a name of `rnnkit data list`.

    >>> Origin.of(train="a.txt", valid="b.txt").found()
    {'train': ('a.txt', 'data.train'), 'valid': ('b.txt', 'data.valid')}
    """

    path: Paths | None
    parts: dict[str, Paths]
    dataset: str | None

    @classmethod
    def of(
        cls,
        dataset: str | None = None,
        path: Paths | None = None,
        train: Paths | None = None,
        valid: Paths | None = None,
        test: Paths | None = None,
    ) -> "Origin":
        """Create an origin from the arguments that all data modules share.

        Raises:
            UserError: `path` is given together with files of splits.
        """
        parts = {name: paths for name, paths in (("train", train), ("valid", valid), ("test", test)) if paths}
        if path and parts:
            given = ", ".join(f"data.{name}" for name in parts)
            raise UserError("data.path", "either data.path or data.train", f"{given} too", fix="data.path=null")
        return cls(path or None, parts, dataset or None)

    @property
    def is_known(self) -> bool:
        """Whether the origin is a data set of `rnnkit data list`."""
        return not (self.path or self.parts)

    def require(self, what: str, fix: str) -> None:
        """Raise UserError if nothing is named. `what` describes the missing data."""
        if not (self.path or self.parts or self.dataset):
            raise UserError("data.path", f"{what} to read", "nothing", fix=fix)

    def require_both(self, file: str) -> None:
        """Raise UserError if only one of training and validation is named. `file` is an example of a file name."""
        if self.parts and not {"train", "valid"} <= self.parts.keys():
            given = " and ".join(f"data.{name}" for name in self.parts)
            fix = f"data.train={file} data.valid=other_{file}, or data.path={file} to split one file"
            raise UserError("data.train and data.valid", "both", f"{given} only", fix=fix)

    def found(self) -> dict[str, tuple[Paths, str]]:
        """Paths and the argument that named them, by "path" or the name of a split; empty if none is named.

        Raises:
            UserError: the data set is not on this machine.
        """
        if self.path:
            return {"path": (self.path, "data.path")}
        if self.parts:
            for name, paths in self.parts.items():
                if name != "train" and str(paths) == str(self.parts.get("train")):
                    notice(f"data.{name} is the same as data.train: its metrics do not measure generalization")
            return {name: (paths, f"data.{name}") for name, paths in self.parts.items()}
        if self.dataset:
            return {name: (path, "data.dataset") for name, path in catalog.find(self.dataset).items()}
        return {}


def check_parts(parts: Mapping[str, tuple[Paths, str]], *, trained: bool) -> None:
    """Raise UserError if there is no training split, or if two splits are the same file."""
    if not trained and "path" not in parts and "train" not in parts:
        given = " and ".join(f"data.{name}" for name in parts)
        raise UserError("data.train", "a training split", f"{given} only", fix="data.train=a file")
    seen: dict[str, str] = {}
    for name, (paths, argument) in parts.items():
        if seen.setdefault(str(paths), name) != name:
            got = f"the file of data.{seen[str(paths)]}"
            raise UserError(argument, "another file than that of the other splits", got, fix=f"data.{name}=null")
