"""The corpus that every machine has: the source text of the Python standard library."""

import os
import sysconfig
from pathlib import Path

from rnnkit.data.io.sources import Document
from rnnkit.errors import UserError

# not the library's own text, written by a machine, about other things than the library, or not in every installation
LEFT_OUT_FOLDERS = frozenset(
    (
        *("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip"),
        *("pydoc_data", "encodings", "__pycache__", "__phello__"),
    )
)
LEFT_OUT_PREFIXES = ("_sysconfigdata", "config-", "sitecustomize", "usercustomize")  # differ from platform to platform


def root() -> Path:
    """The folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def documents() -> list[Document]:
    """The modules of the running interpreter's standard library, in name order; some 8 MB.

    Only modules written in plain ASCII are taken (29 of 30): that leaves a vocabulary of 96 characters, where the
    rest would add a hundred that occur a few times each. The corpus differs a little between Python versions.

    Raises UserError where the interpreter comes without its source, as some packaged applications do.

    >>> "this.py" in {document.name for document in documents()}
    True
    """
    top = root()
    found = []
    for place, folders, files in os.walk(top):
        folders[:] = [
            name for name in folders if name not in LEFT_OUT_FOLDERS and not name.startswith(LEFT_OUT_PREFIXES)
        ]
        for name in files:
            if name.endswith(".py") and not name.startswith(LEFT_OUT_PREFIXES):
                path = Path(place, name)
                content = path.read_bytes()
                if content and content.isascii():
                    text = content.decode("ascii").replace("\r\n", "\n")
                    found.append(Document(path.relative_to(top).as_posix(), text))
    if not found:
        raise UserError(
            "data.dataset",
            "the source text of the Python standard library",
            f"none in {top}",
            fix="data.path=my_corpus.txt",
        )
    return sorted(found)
