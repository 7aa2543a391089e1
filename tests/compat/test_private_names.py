"""Private names of other libraries stand in `rnnkit/compat` alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnnkit

PACKAGE = Path(rnnkit.__file__).parent
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "compat" not in path.relative_to(PACKAGE).parts]

PUBLIC = {
    *("_replace", "_asdict", "_fields", "_field_defaults", "_make"),  # of named tuples, as their documentation has it
    *("_target_", "_partial_", "_args_", "_convert_", "_recursive_"),  # keys of Hydra's configurations
    *("_exit", "_is_protocol"),  # of os and typing, in Python itself
    *("_to_copy", "_unsafe_view", "_softmax", "_log_softmax"),  # operations of ATen
}
MODULES = ("torch.fx.experimental",)
"""Modules without an underscore whose names may change with each release."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that an import statement brings from elsewhere."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("rnnkit"):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def defined(tree: ast.AST) -> set[str]:
    """The private names that a file gives to something of its own."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return names


def foreign_names(source: str, own: set[str]) -> list[str]:
    """The private names of others that a file reads, sets or names as a string for `getattr`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in imported(node):
            if name.startswith(MODULES) or any(is_private(part) for part in name.split(".")):
                found.append(name)
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            mine = owner in ("self", "cls", "other") and node.attr in own
            known = node.attr in own and isinstance(node.ctx, ast.Load) and owner != "torch"
            if is_private(node.attr) and not (mine or known):
                found.append(ast.unparse(node))
            if ast.unparse(node).startswith(MODULES):
                found.append(ast.unparse(node))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            found += [
                value.value
                for value in node.args[1:2]
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and is_private(value.value)
            ]
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch._C._len_torch_function_stack()",
        "from torch.utils._pytree import tree_map",
        "from torch.nn.modules.module import _has_any_global_hook",
        "from torch.fx.experimental.proxy_tensor import make_fx",
        "from hydra._internal.utils import create_config_search_path",
        "def f(module): return module._parameters",
        "class Average(WeightAveraging):\n    def f(self): return self._average_model",
        "def f(callback): callback._save_on_train_epoch_end = False",
        "def f(loop): return getattr(loop, '_data_fetcher')",
        "def f(config): return config._get_node('a')",
    ],
)
def test_the_search_finds_a_private_name(source: str) -> None:
    assert foreign_names(source, defined(ast.parse("class A:\n    def _run(self): self._state = 1")))


def test_the_search_leaves_own_and_public_names_alone() -> None:
    source = "class A:\n    def _run(self): self._state = 1\n    def f(self, other): return self._run(), other._state"
    assert not foreign_names(source, defined(ast.parse(source)))
    assert not foreign_names("x = batch._replace(a=1); os._exit(1); config.task._target_; f.__name__", set())


def test_private_names_of_libraries_stand_in_compat_alone() -> None:
    own = {name for path in FILES for name in defined(ast.parse(path.read_text()))}
    found = {str(path.relative_to(PACKAGE)): foreign_names(path.read_text(), own) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
