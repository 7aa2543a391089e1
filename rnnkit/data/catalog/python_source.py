"""A corpus that needs no download: the source text of the Python standard library."""

import os
import sysconfig
from pathlib import Path

from rnnkit.data.io.sources import Document
from rnnkit.errors import UserError

# third-party or generated modules, and modules that are not part of every installation
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
    """The modules of the interpreter's standard library, sorted by name. They have about 8 MB.

    Only ASCII modules are included (29 of 30). They have a vocabulary of 96 characters; the other modules would add
    about a hundred rare characters. The corpus differs slightly between Python versions.

    Raises:
        UserError: the interpreter has no source files, as in some packaged applications.

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
