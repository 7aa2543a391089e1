"""Every callable of the packages that configurations name: those that pass are a reviewed list, and only compute."""

import ast
import importlib
import inspect
import pkgutil
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnkit.training.configuration.allowed import canonical

REVIEWED = Path(__file__).with_name("allowed_targets.txt")
ROOTS = ("rnnkit", "torch.nn", "torch.optim", "lightning.pytorch")
DANGEROUS = {
    *(
        "open",
        "exec",
        "eval",
        "compile",
        "__import__",
        "import_module",
        "load",
        "loads",
        "load_library",
        "save",
        "dump",
    ),
    *("system", "popen", "Popen", "run", "check_call", "check_output", "unlink", "remove_file", "rmtree", "mkdir"),
    "makedirs",
    *("write_text", "write_bytes", "load_from_checkpoint", "instantiate_class", "script", "tofile", "urlopen", "CDLL"),
}
READ = {
    "torch.nn.modules.module.Module": {
        "load",
        "compile",
    },  # torch.serialization is asked for a flag; never called by us
    "lightning.pytorch.trainer.trainer.Trainer": {"run"},  # its own loop
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint": {
        "rmtree",
        "open",
        "dump",
    },  # in the run folder alone
    "rnnkit.data.loading.sequences.SequenceData": {"write_text", "loads"},  # data.json of the run folder, as JSON
    "rnnkit.data.corpus.data.TextData": {"save"},  # vocabulary.json of the run folder
    "rnnkit.data.tokenizers.tokenizer.Tokenizer": {"write_text"},  # the same
    "rnnkit.training.insight.callback.Insight": {"save"},  # insight.json of the run folder
    "rnnkit.training.report.forecasts.ForecastFigure": {"eval"},  # a module's mode
}
"""What was looked at and found harmless, as a configuration cannot say with which path it is called."""


def names() -> Iterator[str]:
    """Dotted names of everything that the modules of the packages hold, and of what that holds in turn."""
    for root in ROOTS:
        package = importlib.import_module(root)
        found = pkgutil.walk_packages(package.__path__, f"{root}.", onerror=lambda name: None)
        for name in (root, *(module.name for module in found)):
            if name.endswith("_triton") or "__main__" in name:
                continue
            try:
                with warnings.catch_warnings(action="ignore"):
                    module = importlib.import_module(name)
            except Exception:  # one that needs a package or a device that is not here
                continue
            for attribute, value in list(vars(module).items()):
                yield f"{name}.{attribute}"
                if inspect.isclass(value):
                    yield from (f"{name}.{attribute}.{method}" for method in vars(value))
                elif inspect.ismodule(value):
                    yield from (f"{name}.{attribute}.{inner}" for inner in vars(value))


@pytest.mark.slow
def test_of_all_callables_those_pass_that_were_reviewed_and_where_they_are_defined() -> None:
    """After an update of torch or lightning: read what is new, then add it to the list or exclude it."""
    with warnings.catch_warnings(action="ignore"):
        candidates = {*names(), "lightning.Trainer"}
        passing = {name: full for name in candidates if (full := canonical(name)) is not None}
    assert len(candidates) > 20_000
    assert set(passing.values()) - reviewed() == set(), "new and not reviewed"
    ours = {name for name in reviewed() if name.startswith("rnnkit.")}
    assert ours - set(passing.values()) == set(), "gone"
    for name, full in passing.items():
        assert name.rpartition(".")[2] == full.rpartition(".")[2]
        assert full.startswith(f"{name.rpartition('.')[0]}.")
        assert "._" not in name


@pytest.mark.parametrize(
    "place", ["torch.nn", "torch.optim", "torch.optim.lr_scheduler", "lightning.pytorch.callbacks"]
)
def test_of_the_usual_places_those_pass_that_were_reviewed(place: str) -> None:
    found = {canonical(f"{place}.{name}") for name in vars(importlib.import_module(place))} - {None}
    assert len(found) > 5
    assert found <= reviewed()


def test_none_of_what_passes_imports_runs_unpickles_or_writes() -> None:
    for full in reviewed():
        place, _, last = full.rpartition(".")
        try:
            found = getattr(importlib.import_module(place), last)
        except (ImportError, AttributeError):  # another version of torch
            assert not full.startswith("rnnkit.")
            continue
        assert _calls(found) & DANGEROUS <= READ.get(full, set()), full


def reviewed() -> set[str]:
    return set(REVIEWED.read_text().split())


def _calls(found: object) -> set[str]:
    """Names of what the source of a class or function calls; empty for what is not written in Python."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(found)))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return set()
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in called}
