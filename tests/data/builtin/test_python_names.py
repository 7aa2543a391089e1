"""The roles of names in Python source."""

import ast
import symtable

from rnnkit.data.builtin import python_names
from rnnkit.data.catalog import python_source
from rnnkit.data.io.sources import Document

SOURCE = '''
import os
import a.b as c
from d import e

LIMIT = 3


class Thing:
    size = 1

    def grow(self, by=LIMIT, *rest, deep: int = 0, **options):
        """Not a name."""
        import f.g
        size = self.size + by
        inner = [os.path.join(str(one), c) for one in rest]
        def help(x):
            nonlocal size
            size = x + deep
            return e(x)
        try:
            return Thing(size, key=inner).grow(lambda y: y + LIMIT)
        except OSError as error:
            print(f.g, error, options, undefined)


async def go():
    global LIMIT
    LIMIT = await grow()
'''

GROW = """
grow/function self/parameter by/parameter LIMIT/global rest/parameter deep/parameter int/builtin options/parameter
f/import g/import
size/local self/parameter size/attribute by/parameter
inner/local os/import path/attribute join/method str/builtin one/local c/import one/local rest/parameter
help/function x/parameter size/local size/local x/parameter deep/parameter e/import x/parameter
Thing/class size/local key/keyword inner/local grow/method y/parameter y/parameter LIMIT/global
OSError/builtin error/local print/builtin f/import g/attribute error/local options/parameter undefined/global
""".split()  # noqa: SIM905


def test_the_roles_by_hand() -> None:
    grow, go = python_names.functions(Document("a.py", SOURCE))
    assert [f"{word}/{tag}" for word, tag in zip(grow.tokens, grow.tags or (), strict=True) if tag != "O"] == GROW
    assert [f"{word}/{tag}" for word, tag in zip(go.tokens, go.tags or (), strict=True) if tag != "O"] == [
        *("go/function", "LIMIT/global", "LIMIT/global", "grow/global")
    ]
    assert grow.tokens[:4] == ["def", "grow", "(", "self"]
    assert '""' in grow.tokens  # every string
    assert "Not" not in grow.tokens


def test_what_a_file_that_is_no_python_has() -> None:
    assert python_names.functions(Document("a.py", "def f(:\n")) == []


def test_parameters_and_globals_are_what_the_compiler_says_they_are() -> None:
    """For names of flat functions, the standard library's own symbol tables are asked."""
    compared = 0
    for document in python_source.documents()[::20]:
        tree = ast.parse(document.text)
        tables = {
            (table.get_name(), table.get_lineno()): table
            for table in symtable.symtable(document.text, document.name, "exec").get_children()
            if isinstance(table, symtable.Function) and not table.get_children()
        }
        flat = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
        known = [(node, tables[node.name, node.lineno]) for node in flat if (node.name, node.lineno) in tables]
        for node, table in known:
            [sentence] = python_names.functions(Document("a.py", ast.unparse(node))) or [None]
            if sentence is None:
                continue
            for word, role in zip(sentence.tokens, sentence.tags or (), strict=True):
                if role == "parameter":
                    assert table.lookup(word).is_parameter()
                elif role in ("local", "import") and word in table.get_identifiers():
                    assert table.lookup(word).is_local()
                elif role in ("global", "builtin") and word in table.get_identifiers():
                    assert table.lookup(word).is_global()
                else:
                    continue
                compared += 1
    assert compared > 1000


def test_the_splits_are_whole_files_and_long_functions_are_left_out() -> None:
    splits = python_names.read(0.1, 0.1)
    assert list(splits) == ["train", "valid", "test"]
    assert sum(len(part) for part in splits.values()) > 1000
    assert all(len(sentence.tokens) <= python_names.LONGEST for part in splits.values() for sentence in part)
    tags = {tag for part in splits.values() for sentence in part for tag in sentence.tags or ()}
    assert tags == set(python_names.ROLES)
    assert list(python_names.read(0.1, 0.0)) == ["train", "valid"]
