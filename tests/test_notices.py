"""Notices: one line each, from one process, beside the results and not among them."""

import pytest

from rnnkit.notices import notice


def test_a_notice_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    notice("3 lines\n  left out")
    assert capsys.readouterr() == ("", "3 lines left out\n")


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_one_process_of_a_distributed_run_prints(
    variable: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv(variable, rank)
        notice(f"from {rank}")
    assert capsys.readouterr().err == "from 0\n"
