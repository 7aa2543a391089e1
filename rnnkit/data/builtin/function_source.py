"""Functions of Python's standard library, with the package of each as its class."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rnnkit.data.catalog import python_source
from rnnkit.data.io.sources import read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.io.tables.format import suffix_of
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.text import TextLabelData
from rnnkit.errors import UserError

PACKAGES = ("asyncio", "email", "http", "importlib", "multiprocessing", "tkinter", "unittest", "xml")
"""The packages with the most functions, in several files each, in Python 3.11 to 3.13."""


class FunctionSource(TextLabelData):
    """Source text of functions and methods of eight packages of the standard library. Needs no file.

    The class is the package. All functions of a file are in the same split. The functions differ slightly between
    Python versions. A package that is not installed, such as tkinter on many systems, is not a class. Prediction also
    reads Python files, function by function.

    Args:
        others: see `TextLabelData`. With `path` or `train`, files are read instead.

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
        name, text = ("standard input", "".join(stdin_lines())) if path is None else read(path, argument="--input")[0]
        try:
            found = list(functions(text))
        except (SyntaxError, ValueError) as error:
            raise UserError("--input", "Python source", f"{name}: {error}", fix="--input file.py or .csv") from error
        for line, source in found:
            yield self.ready(Labeled(source, None, f"{name}:{line}", f"{name} line {line}"))


def functions(text: str) -> Iterator[tuple[int, str]]:
    r"""The first line and the source of each function and method of a module. Nested functions are not separate.

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
