"""What the catalog says of a data set."""

from typing import NamedTuple


class File(NamedTuple):
    """One file of a data set. Size in bytes and SHA-256 are those of the unpacked content.

    `url` is None where no single file can be fetched; the description then says where the set is to be had.
    """

    part: str  # the argument of the data module that it is: "path" (to be split), "train", "valid" or "test"
    names: tuple[str, ...]  # below a data folder, each also with .gz behind it; the first is where a download goes
    url: str | None
    size: int
    sha256: str


class DataSet(NamedTuple):
    """A data set by name. No `files`: it needs none."""

    description: str
    license: str
    files: tuple[File, ...] = ()


GITHUB = "https://raw.githubusercontent.com"
