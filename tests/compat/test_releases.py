"""A release of torch, Lightning or Hydra without a private name: something slower, or an error that names releases."""

import json
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from rnnkit.compat import hydra, lookup
from rnnkit.compat import lightning as compat_lightning
from rnnkit.compat import torch as compat_torch
from rnnkit.errors import UserError

WITHOUT = sorted(set(compat_torch._NAMES) | set(compat_torch._ATTRIBUTES))


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this torch did not have it."""
    if name in compat_torch._NAMES:
        monkeypatch.setitem(compat_torch._NAMES, name, "torch._gone.forever")
    else:
        example, _ = compat_torch._ATTRIBUTES[name]
        monkeypatch.setitem(compat_torch._ATTRIBUTES, name, (example, "X._gone"))


@pytest.mark.parametrize("name", WITHOUT)
def test_this_torch_has_every_name(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(compat_torch, name) is not None
        with torch.inference_mode(), torch.device("meta"):  # names are looked up wherever they are first needed
            assert getattr(compat_torch, name) is not None


@pytest.mark.parametrize("name", WITHOUT)
def test_a_name_that_is_gone_is_replaced_or_its_releases_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(name, monkeypatch)
    if name in compat_torch._INSTEAD:
        with pytest.warns(UserWarning, match=rf"torch {torch.__version__.split('+')[0]}.* has no .*_gone"):
            assert getattr(compat_torch, name) is compat_torch._INSTEAD[name][0]
    else:
        with pytest.raises(UserError, match=r"release 2\.13 or 2\.14, which has .*_gone.*; got 2\.\d+") as raised:
            getattr(compat_torch, name)
        assert raised.value.fix == "pip install 'torch>=2.13,<2.15'"


def replacement(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = compat_torch._INSTEAD[name][0]
    return found


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("foreach_copy_", ([torch.full((3,), 2.0), torch.full((2, 2), 3.0)],)),
        ("foreach_lerp_", ([torch.full((3,), 2.0), torch.full((2, 2), 3.0)], 0.25)),
        ("foreach_mul_", (torch.tensor(0.5),)),
    ],
)
def test_many_tensors_one_by_one(name: str, arguments: tuple[Any, ...]) -> None:
    ours, theirs = ([torch.arange(3.0), torch.ones(2, 2)] for _ in range(2))
    replacement(name)(ours, *arguments)
    getattr(compat_torch, name)(theirs, *arguments)
    torch.testing.assert_close(ours, theirs)


def test_what_is_put_in_the_place_of_a_question_is_the_careful_answer() -> None:
    assert replacement("are_transforms_active")()
    assert replacement("has_any_global_hook")()
    assert replacement("is_legacy_batchedtensor")(torch.zeros(1))
    assert replacement("len_torch_function_stack")() > 0


GONE = """
import json, warnings
import torch
from rnnkit.compat import torch as compat
NAMES = ["are_transforms_active", "has_any_global_hook", "len_torch_function_stack", "is_legacy_batchedtensor"]
compat._NAMES.update(dict.fromkeys([*NAMES, {also}], "torch._C._gone"))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import rnnkit
    from rnnkit.engines import explain
    lstm, lem = torch.nn.LSTM(3, 5, batch_first=True), rnnkit.cells.LEMCell(3, 5)
    x = torch.randn(4, 20, 3)
    torch.testing.assert_close(rnnkit.RNN.from_torch(lstm)(x)[0], lstm(x)[0])
    y, _ = rnnkit.scan(lem, x)
    y.sum().backward()
    reason = explain(lem, x).ruled_out["compiled"]
print(json.dumps([explain(lem, x).engine, reason, [str(one.message) for one in told]]))
"""


def in_a_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_its_questions_to_torch_every_cell_runs_as_a_loop() -> None:
    engine, _, messages = json.loads(in_a_process(GONE.replace("{also}", "")))
    assert engine == "reference"
    assert any("torch._C._gone: every cell runs as a Python loop" in message for message in messages)


def test_without_a_trace_the_compiler_says_which_name_it_needs() -> None:
    code = GONE.replace("NAMES = [", "NAMES = []; _ = [").replace("{also}", '"make_fx"')
    engine, reason, messages = json.loads(in_a_process(code))
    assert engine == "reference"
    assert "release 2.13 or 2.14, which has torch._C._gone" in reason
    assert [message for message in messages if "LEMCell runs as a Python loop: this torch lacks" in message]


TOO_NEW = """
import warnings, torch
torch.__version__ = "2.99.0"
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import rnnkit
    rnnkit.RNN(rnnkit.cells.GRUCell, input_size=3, hidden_size=5)(torch.zeros(2, 4, 3))
    rnnkit.RNN(rnnkit.cells.LSTMCell, input_size=3, hidden_size=5)(torch.zeros(2, 4, 3))
print([str(one.message) for one in told if "newer" in str(one.message)])
"""


def test_a_newer_torch_is_named_once_and_used() -> None:
    told = in_a_process(TOO_NEW)
    assert told == "['torch 2.99.0 is newer than the releases rnnkit was tested with (2.13 and 2.14)']\n"


def test_the_tested_releases_are_those_of_the_project_file() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]["dependencies"]
    oldest, newest = lookup.TESTED["torch"][0], lookup.TESTED["torch"][-1]
    assert f"torch>={oldest},<2.{int(newest.split('.')[1]) + 1}" in project


def test_lightning_without_a_name_is_an_error_that_names_releases() -> None:
    with pytest.raises(UserError, match=r"release 2\.6, which has WeightAveraging\._average_model; got 2\.6"):
        compat_lightning.averaged_model(object())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="_should_check_val_fx"):
        compat_lightning.is_validated_next(object())  # type: ignore[arg-type]


def test_lightning_notes_its_hook_where_tasks_expect_it() -> None:
    class Module(L.LightningModule):
        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            noted.append(vars(self).get(compat_lightning.CURRENT_HOOK))
            return self.weight * batch.sum()

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    noted: list[str | None] = []
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_steps=1, accelerator="cpu", enable_model_summary=False, **options)
    loader = torch.utils.data.DataLoader(torch.ones(2), batch_size=1, shuffle=False)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Module(), loader)
    assert noted == ["training_step"]


def test_hydra_without_a_name_is_an_error_that_names_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hydra._NAMES, "SourcesRegistry", "hydra._internal.gone.SourcesRegistry")
    with pytest.raises(UserError, match=r"hydra-core: expected release 1\.3, which has hydra\._internal\.gone"):
        _ = hydra.SourcesRegistry
