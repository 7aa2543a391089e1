"""What every run needs may not be left out, and an optimizer must be one that a run can use."""

import pytest

from rnnkit.cli import run


@pytest.mark.parametrize("key", ["trainer", "monitor", "seed"])
def test_what_every_run_needs_cannot_be_left_out(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", f"~{key}"]) == 2
    assert f"rnnkit: {key}: expected a value, which every run needs; got none" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SparseAdam", "Muon", "LBFGS"])
def test_an_optimizer_that_cannot_take_a_step_is_refused(
    name: str, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *small, f"optimizer._target_=torch.optim.{name}"]) == 2
    assert "rnnkit: optimizer: expected " in capsys.readouterr().err
