"""Named data sets: their sources and their location on this machine."""

import difflib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rnnkit.data.catalog import python_source
from rnnkit.data.catalog.entry import DataSet as DataSet
from rnnkit.data.catalog.entry import File as File
from rnnkit.data.catalog.labeled import LABELED
from rnnkit.data.catalog.series import SERIES
from rnnkit.data.catalog.tagging import TAGGING
from rnnkit.data.catalog.texts import PYTHON_STDLIB, TEXTS
from rnnkit.data.io.download import download
from rnnkit.data.io.sources import read_bytes
from rnnkit.errors import UserError
from rnnkit.folders import cache_folder

DATA_SETS: Mapping[str, DataSet] = {**TEXTS, **LABELED, **SERIES, **TAGGING}


class Row(NamedTuple):
    """A line of `rnnkit data list`. `size` is in bytes; `where` is a folder, or None if not downloaded."""

    name: str
    description: str
    license: str
    size: int
    where: Path | None


def find(name: str) -> dict[str, Path]:
    """The local files of a data set, by the argument of the data module to which each belongs.

    The search covers the folders of the environment variable RNNKIT_DATA, then the user's cache. Only the existence of
    the files is checked; `get` verified their content when it downloaded them.

    Raises:
        UserError: there is no data set of that name, or it is not on this machine.

    >>> find("python_stdlib")
    {}
    """
    files = _data_set(name).files
    found = {file.part: path for file in files if (path := _locate(file))}
    lacking = [file.names[0] for file in files if file.part not in found]
    if lacking:
        raise UserError(
            "data.dataset",
            f"the files of {name}",
            f"no {', '.join(lacking)} in {' or '.join(map(str, _folders()))}",
            fix=_download_or_own(name),
        )
    return found


def get(name: str) -> dict[str, Path]:
    """Download the missing files of a data set into the user's cache and verify all files.

    Returns:
        The same as `find`.

    Raises:
        UserError: there is no data set of that name, no network, or a file has other content.
    """
    for file in _data_set(name).files:
        here = _locate(file)
        if here is None:
            if file.url is None:
                raise UserError(
                    "name", "a data set that can be downloaded", f"{name}, which cannot", fix=_own_folder(name)
                )
            path = _cache() / file.names[0]
            download(file.url, path, sha256=file.sha256, size=file.size, instead=_own_folder(name))
        elif hashlib.sha256(read_bytes(here, "data set file")).hexdigest() != file.sha256:
            raise UserError(
                f"data set file {here}",
                f"SHA-256 {file.sha256} (unpacked)",
                "other content",
                fix=f"removing it, then: rnnkit data get {name}",
            )
    return find(name)


def rows() -> list[Row]:
    """The lines of `rnnkit data list`: all data sets with their sizes and locations."""
    return [Row(name, data.description, data.license, *_size_and_place(data)) for name, data in DATA_SETS.items()]


def _size_and_place(data: DataSet) -> tuple[int, Path | None]:
    if not data.files:
        return sum(len(document.text) for document in python_source.documents()), python_source.root()
    places = [_locate(file) for file in data.files]
    return sum(file.size for file in data.files), places[0].parent if places[0] and all(places) else None


def _data_set(name: str) -> DataSet:
    if name in DATA_SETS:
        return DATA_SETS[name]
    near = difflib.get_close_matches(name, DATA_SETS, n=1, cutoff=0.5) or [PYTHON_STDLIB]
    raise UserError("data.dataset", f"one of {', '.join(DATA_SETS)}", repr(name), fix=f"data.dataset={near[0]}")


def _locate(file: File) -> Path | None:
    candidates = (folder / (name + packed) for folder in _folders() for name in file.names for packed in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _folders() -> tuple[Path, ...]:
    given = os.environ.get("RNNKIT_DATA", "").split(os.pathsep)
    return (*(Path(folder).expanduser() for folder in given if folder), _cache())


def _cache() -> Path:
    try:
        return cache_folder()
    except OSError as error:
        fix = "RNNKIT_CACHE=/tmp/rnnkit"
        raise UserError("RNNKIT_CACHE", "a folder to keep data sets in", f"none, and {error}", fix=fix) from error


def _download_or_own(name: str) -> str:
    own = _own_folder(name)
    fetched = all(file.url for file in DATA_SETS[name].files)
    return f"rnnkit data get {name}, or {own}" if fetched else own


def _own_folder(name: str) -> str:
    return f"RNNKIT_DATA=folder with a folder holding {' '.join(file.names[0] for file in DATA_SETS[name].files)}"
