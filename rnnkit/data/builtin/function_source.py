"""Functions of Python's standard library: from which package is this one?"""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rnnkit.data.catalog import python_source
from rnnkit.data.io.sources import read
from rnnkit.data.io.standard_input import arriving
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.tables import suffix_of
from rnnkit.data.labeled.text import TextLabelData
from rnnkit.errors import UserError

PACKAGES = ("asyncio", "email", "http", "importlib", "multiprocessing", "tkinter", "unittest", "xml")
"""Those with the most functions, in several files each, of Python 3.11 to 3.13."""


class FunctionSource(TextLabelData):
    """Functions and methods of eight packages of the standard library, as text, and the package of each; needs no file.

    A file and all its functions are in one split. They differ a little between Python versions; a package that an
    installation lacks, as many lack tkinter, is no class there. Prediction also reads Python files, function by
    function.

    Args:
        others: see `TextLabelData`; with `path` or `train` files are read in place.

    >>> data = FunctionSource(level="char", max_length=256)
    >>> data.setup()
    >>> set(data.task_kwargs["classes"]) <= set(PACKAGES)
    True
    """

    def own_splits(self) -> dict[str, list[Labeled]]:
        found = [
            Labeled(text, package, f"{document.name}:{line}", f"{document.name} line {line}", document.name)
            for document in python_source.documents()
            if (package := document.name.split("/")[0]) in PACKAGES
            for line, text in functions(document.text)
        ]
        return {"path": found}

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        if path is not None and suffix_of(path.name) != ".py":
            yield from super().read_inputs(path)
            return
        name, text = ("standard input", "".join(arriving())) if path is None else read(path, argument="--input")[0]
        try:
            found = list(functions(text))
        except (SyntaxError, ValueError) as error:
            raise UserError("--input", "Python source", f"{name}: {error}", fix="--input file.py or .csv") from error
        for line, source in found:
            yield self.ready(Labeled(source, None, f"{name}:{line}", f"{name} line {line}"))


def functions(text: str) -> Iterator[tuple[int, str]]:
    r"""The functions of a module and the methods of its classes: first line and source, those within another not alone.

    >>> list(functions("class A:\n    @property\n    def f(self):\n        return 1\n"))
    [(3, 'def f(self):\n    return 1')]
    """
    lines = text.split("\n")
    waiting: list[ast.stmt] = [*ast.parse(text).body]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.ClassDef):
            waiting = [*node.body, *waiting]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
