"""Search for files by path, folder or glob, and their text as named documents."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rnnkit.data.io.blocks import byte_blocks, choices
from rnnkit.data.io.decoding import NotTextError, text_blocks
from rnnkit.data.io.findings import Findings
from rnnkit.errors import UserError

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Document(NamedTuple):
    """The text of one file. `name` is its path relative to the given folder or glob: equal on every machine."""

    name: str
    text: str


class Found(NamedTuple):
    """A file that was found, with the name that its `Document` gets."""

    name: str
    path: Path
    named: bool  # whether the user named it; files of other kinds are skipped only in folders


def read(
    paths: Paths,
    *,
    raw: bool = False,
    argument: str = "data.path",
    example: str = "my_corpus.txt",
    encoding: str | None = None,
    key: str | None = None,
) -> list[Document]:
    """Read a file, all files below a folder, all files that match a glob, or a list of these.

    Files that end in `.gz`, `.xz` or `.zip` are decompressed. The files of a folder or glob are sorted by name; a list
    keeps its order. No file is read twice. Below a folder, hidden files and folders are skipped and, unless `raw`, also
    files with NUL bytes. Empty files are skipped.

    Text must be UTF-8. A byte order mark is dropped and CRLF becomes LF; nothing else is changed. With `raw`, any bytes
    are accepted and nothing is changed: bytes that are not UTF-8 become lone surrogates ("surrogateescape"), which
    `ByteTokenizer` converts back. The numbers of skipped and changed files are printed. All text is held in memory; for
    larger text see `rnnkit.data.corpus.corpus`.

    Args:
        paths: a path, a glob, or a list of them.
        raw: whether to accept any bytes.
        argument: the argument that error messages name.
        example: a file name of the expected kind, for error messages.
        encoding: see `rnnkit.data.io.decoding.text_blocks`.
        key: see `rnnkit.data.io.decoding.text_blocks`.

    Raises:
        UserError: a path does not exist or cannot be read, a glob has no matches, a compressed file is damaged, a file
            is not text, or there is no text at all.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "b.txt").write_text("two")
    ...     _ = Path(folder, "a.txt").write_text("one")
    ...     read(folder)
    [Document(name='a.txt', text='one'), Document(name='b.txt', text='two')]
    """
    found = files(paths, argument, example)
    documents = []
    notes = Findings()
    for file in found:
        try:
            blocks = [*text_blocks(file.path, raw=raw, argument=argument, notes=notes, encoding=encoding, key=key)]
        except NotTextError:
            if file.named:
                raise
            notes.add(NO_TEXT, str(file.path))
            continue
        if blocks:
            documents.append(Document(file.name, "".join(blocks)))
        else:
            notes.add(EMPTY, str(file.path))
    if not documents:
        raise no_text(paths, len(found), argument, example)
    notes.print()
    return documents


def files(paths: Paths, argument: str = "data.path", example: str = "my_corpus.txt") -> list[Found]:
    """The files that `read` would read, in the same order. The number of skipped files is printed.

    Raises:
        UserError: a glob has no matches, or a folder cannot be read or belongs to the system.
    """
    found: dict[Path, Found] = {}
    notes = Findings()
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        try:
            for file in sorted(_Search(argument, example, notes).find(Path(path).expanduser())):
                if found.setdefault(file.path.resolve(), file) is not file:
                    notes.add("files that were found more than once, read once", str(file.path))
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # circular links, unknown home folders, invalid bytes in a path
            if isinstance(error, UserError):
                raise
            got = f"{_short(getattr(error, 'filename', None) or path)}: {getattr(error, 'strerror', None) or error}"
            fix = choices(argument, example)
            raise UserError(argument, "files and folders that can be read", got, fix=fix) from error
    notes.print()
    return list(found.values())


def read_bytes(path: Path, argument: str = "data.path") -> bytes:
    """The content of a file, decompressed if its name ends in `.gz`, `.xz` or `.zip`.

    Raises:
        UserError: the file cannot be read or decompressed. The message names `argument`.
    """
    return b"".join(byte_blocks(path, argument))


def no_text(paths: Paths, number: int, argument: str, example: str = "my_corpus.txt") -> UserError:
    """The error for `number` files without text."""
    is_file = isinstance(paths, str | os.PathLike) and Path(paths).expanduser().is_file()
    got = f"{paths}, which is empty" if is_file else f"{number} files under {paths}, none of them with text"
    return UserError(argument, "text", got, fix=choices(argument, example))


class _Search:
    """A file search that counts what it skips."""

    def __init__(self, argument: str, example: str, notes: Findings) -> None:
        self._argument = argument
        self._example = example
        self._notes = notes

    def find(self, path: Path) -> Iterator[Found]:
        """The files of one path or glob."""
        if path.is_dir():
            if any(path.resolve().is_relative_to(place) for place in SYSTEM) or path.resolve().parent == path.resolve():
                raise self._refusal("a folder of files", f"{path}, which belongs to the system")
            yield from self._below(path)
        elif path.exists() or not glob.has_magic(str(path)):  # for a path that does not exist, reading raises the error
            yield Found(path.name, path, named=True)
        else:
            matches = glob.glob(str(path), recursive=True)
            if not matches:
                raise self._refusal("a glob that matches files", f"{path}, which matches none in {Path.cwd()}")
            fixed = Path(*path.parts[: next(i for i, part in enumerate(path.parts) if glob.has_magic(part))])
            for match in map(Path, matches):
                if match.is_dir():
                    # a recursive glob yields folders and also their files; a file that matches itself counts as named
                    if "**" not in path.parts:
                        for file in self._below(match):
                            yield file._replace(name=(match.relative_to(fixed) / file.name).as_posix())
                else:
                    yield Found(match.relative_to(fixed).as_posix(), match, named=True)

    def _below(self, folder: Path) -> Iterator[Found]:
        def refuse(error: OSError) -> None:
            raise self._refusal("a folder that can be read", f"{error.filename}: {error.strerror}")

        for place, folders, files in os.walk(folder, onerror=refuse):
            for name in [*folders, *files]:
                if name.startswith("."):
                    self._notes.add("hidden files and folders, skipped", str(Path(place, name)))
                elif name in folders and Path(place, name).is_symlink():
                    self._notes.add("links to folders, not followed", str(Path(place, name)))
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if not name.startswith("."):
                    path = Path(place, name)
                    if path.is_fifo() or path.is_socket():  # reading it might never end
                        self._notes.add("pipes and sockets, skipped", str(path))
                    else:
                        yield Found(path.relative_to(folder).as_posix(), path, named=False)

    def _refusal(self, expected: str, got: str) -> UserError:
        return UserError(self._argument, expected, got, fix=choices(self._argument, self._example))


def _short(path: object) -> str:
    return str(path)[:200]


SYSTEM = ("/proc", "/sys", "/dev")
"""Folders of the system whose files are not regular: reading them may never end."""
EMPTY = "empty files, skipped"
NO_TEXT = "files that are not text, skipped"
