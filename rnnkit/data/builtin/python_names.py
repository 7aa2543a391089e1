"""The default data of the tagging task: names in functions of Python's standard library, with their roles as tags."""

import ast
import builtins
import hashlib
import io
import keyword
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rnnkit.data.catalog import python_source
from rnnkit.data.io.sources import Document
from rnnkit.data.tagging.data import TagData
from rnnkit.data.tagging.sentence import Sentence

ROLES = (
    *("function", "class", "parameter", "local", "global", "import", "builtin"),
    *("attribute", "method", "keyword", "O"),
)
"""The roles of names. A name after a dot is an attribute or, if it is called, a method; a keyword is as in
f(keyword=1)."""

FILES = 110
"""The number of files to use, of more than 600. It is small enough for a few minutes of training."""

LONGEST = 200
"""The largest number of tokens of a function. Longer functions are skipped."""

_BUILTINS = frozenset(dir(builtins))
_PLACEHOLDERS = {tokenize.STRING: '""', tokenize.NUMBER: "0"}
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


class PythonNames(TagData):
    """Functions of Python's standard library as sentences, with the role of each name as its tag. Needs no file.

    Args:
        others: see `TagData`. With `path` or `train`, files are read instead.
    """

    def own_splits(self) -> dict[str, list[Sentence]]:
        return read(self.split.valid_fraction, self.split.test_fraction)


def read(valid_fraction: float, test_fraction: float) -> dict[str, list[Sentence]]:
    """Read the functions of some files of the library as sentences. The hash of its name assigns a file to a split."""
    documents = sorted(python_source.documents(), key=lambda document: _hash(document.name))[:FILES]
    tested, validated = (round(FILES * fraction) for fraction in (test_fraction, valid_fraction))
    splits = {
        "train": documents[tested + validated :],
        "valid": documents[tested : tested + validated],
        "test": documents[:tested],
    }
    return {
        name: [sentence for document in part for sentence in functions(document)]
        for name, part in splits.items()
        if part
    }


def functions(document: Document) -> list[Sentence]:
    r"""The functions and methods of a module as tagged sentences. Nested functions are part of the outer function.

    Comments and whitespace are dropped. Strings and numbers are one token each. The role of a name is determined by the
    scoping rules of Python. Tokens that are not names, including the keywords of the language, have the tag O.

    >>> [sentence] = functions(Document("a.py", "import os\ndef f(path, *, deep=False):\n    x = os.stat(path)\n"))
    >>> [(token, tag) for token, tag in zip(sentence.tokens, sentence.tags) if tag != "O"]
    [('f', 'function'), ('path', 'parameter'), ('deep', 'parameter'), ('x', 'local'), ('os', 'import'),
     ('stat', 'method'), ('path', 'parameter')]
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the module's own warnings, such as invalid escapes
            tree = ast.parse(document.text)
        tokens = list(tokenize.generate_tokens(io.StringIO(document.text).readline))
    except (SyntaxError, tokenize.TokenError):  # a library file with an intentional syntax error
        return []
    roles = _Roles(tree)
    sentences = []
    starts = {(node.lineno, node.col_offset): node for node in _outermost(tree)}
    place = 0
    while place < len(tokens):
        node = starts.get(tokens[place].start)
        if node is None:
            place += 1
            continue
        end, first = _end(node), place
        while place < len(tokens) and tokens[place].start < end:
            place += 1
        inside = [token for token in tokens[first:place] if token.type not in _LAYOUT]
        if len(inside) <= LONGEST:
            words = [_PLACEHOLDERS.get(token.type, token.string) for token in inside]
            sentences.append(Sentence(words, roles.roles_of(inside)))
    return sentences


@dataclass
class _Scope:
    """The roles of the names that a module, class or function binds."""

    start: tuple[int, int]
    end: tuple[int, int]
    is_class: bool = False
    names: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)  # declared global or nonlocal
    inner: list["_Scope"] = field(default_factory=list)

    def bind(self, name: str, role: str) -> None:
        if name not in self.elsewhere:
            self.names.setdefault(name, role)

    def holds(self, position: tuple[int, int]) -> bool:
        return self.start <= position < self.end


class _Roles(ast.NodeVisitor):
    """A visitor that collects the scopes of a module, and the names whose position determines their role."""

    def __init__(self, tree: ast.Module) -> None:
        self.fixed: dict[tuple[int, int], str] = {}
        self.imports: dict[tuple[int, int], tuple[int, int]] = {}
        self.module = self.scope = _Scope((0, 0), (1 << 40, 0))
        self.visit(tree)

    def roles_of(self, tokens: Sequence[tokenize.TokenInfo]) -> list[str]:
        """The roles of consecutive tokens."""
        roles, before, import_end = [], "", (0, 0)
        for token in tokens:
            import_end = self.imports.get(token.start, import_end)
            if token.type != tokenize.NAME or keyword.iskeyword(token.string):
                roles.append("O")
            elif before in ("def", "class"):
                roles.append("function" if before == "def" else "class")
            elif token.start < import_end:
                roles.append("import")
            else:
                roles.append(self.fixed.get(token.start) or self._referred(token))
            before = token.string
        return roles

    def _referred(self, token: tokenize.TokenInfo) -> str:
        scope, around = self.module, [self.module]
        while (inner := next((one for one in scope.inner if one.holds(token.start)), None)) is not None:
            scope = inner
            around.append(scope)
        for scope in reversed(around):
            # names of a class are not visible in its functions
            if token.string in scope.names and (not scope.is_class or scope is around[-1]):
                return scope.names[token.string]
        return "builtin" if token.string in _BUILTINS else "global"

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.bind(node.name, "function")
        for outside in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, node.returns):
            if outside is not None:
                self.visit(outside)
        arguments = _arguments(node.args)
        for argument in arguments:
            if argument.annotation is not None:
                self.visit(argument.annotation)
        self._enter(node, arguments, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  the names are those of ast

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for outside in (*node.args.defaults, *node.args.kw_defaults):
            if outside is not None:
                self.visit(outside)
        self._enter(node, _arguments(node.args), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.bind(node.name, "class")
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._enter(node, [], node.body, is_class=True)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.scope.bind((alias.asname or alias.name).split(".")[0], "import")
        self.imports[node.lineno, node.col_offset] = _end(node)

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.scope.elsewhere.update(node.names)
        for name in node.names:
            self.scope.names.pop(name, None)
            if isinstance(node, ast.Global):
                self.module.bind(name, "global")

    visit_Nonlocal = visit_Global  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._assign(node.id)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._assign(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self._assign(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._fix_end(node, "attribute")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self._fix_end(node.func, "method")
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg:
            self.fixed.setdefault((node.lineno, node.col_offset), "keyword")
        self.generic_visit(node)

    def _assign(self, name: str) -> None:
        role = "global" if self.scope is self.module else "attribute" if self.scope.is_class else "local"
        self.scope.bind(name, role)

    def _fix_end(self, node: ast.Attribute, role: str) -> None:
        line, column = _end(node)
        self.fixed.setdefault((line, column - len(node.attr)), role)

    def _enter(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef,
        arguments: Sequence[ast.arg],
        body: Sequence[ast.expr | ast.stmt],
        *,
        is_class: bool = False,
    ) -> None:
        around = self.scope
        # everything before the body belongs to the enclosing scope, except the names of the parameters
        self.scope = _Scope((body[0].lineno, body[0].col_offset), _end(node), is_class)
        for argument in arguments:
            self.scope.bind(argument.arg, "parameter")
            self.fixed[argument.lineno, argument.col_offset] = "parameter"
        around.inner.append(self.scope)
        for part in body:
            self.visit(part)
        self.scope = around


def _end(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


def _arguments(found: ast.arguments) -> list[ast.arg]:
    single = [argument for argument in (found.vararg, found.kwarg) if argument is not None]
    return [*found.posonlyargs, *found.args, *found.kwonlyargs, *single]


def _outermost(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from _outermost(child)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
