"""Entries of the catalog of data sets."""

from typing import NamedTuple


class File(NamedTuple):
    """One file of a data set. Its size in bytes and its SHA-256 are those of the decompressed content.

    `url` is None if the file cannot be downloaded by itself; the description then names the source.
    """

    part: str  # argument of the data module: "path" (to be split), "train", "valid" or "test"
    names: tuple[str, ...]  # paths in a data folder, also with .gz appended; downloads use the first
    url: str | None
    size: int
    sha256: str


class DataSet(NamedTuple):
    """A named data set. A data set without `files` needs no download."""

    description: str
    license: str
    files: tuple[File, ...] = ()


GITHUB = "https://raw.githubusercontent.com"
