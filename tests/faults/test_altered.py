"""A few altered run folders of each kind; `make soak` tries hundreds for every task."""

import altered
import pytest

QUICK = ("language_modeling", "tagging", "forecasting")


@pytest.mark.parametrize("task", [pytest.param(t, marks=[] if t in QUICK else pytest.mark.slow) for t in altered.RUNS])
def test_an_altered_run_ends_in_a_result_or_a_message(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    cases = 6 if task in QUICK else 30
    counts = altered.alter_and_run(task, cases, 3, failures.append)
    assert not failures, "\n".join(failures)
    assert counts.total() == 3 * cases
    assert counts["refused"] > 0


def test_a_command_that_fails_is_noticed() -> None:
    code, said = altered.called(lambda: 1 // 0)
    assert code == "raised"
    assert "ZeroDivisionError" in said
