"""The commands that a finished run prints are typed as they stand, and work."""

import re
import shlex
from pathlib import Path

import pytest

from rnnkit.cli import run

TINY = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "model.hidden_size=8", "model.num_layers=1"]
TINY += ["data.lanes=1", "data.bptt_steps=8", "trainer.enable_progress_bar=false"]

TEXTS = {
    "one line": "to be or not to be that is the question " * 20,
    "without an A": "bcd efg " * 50,
    "Greek": "εν αρχη ην ο λογος " * 20,
    "Japanese": "春は あけぼの やうやう 白くなりゆく " * 20,
    "lines": "the river\nruns\n" * 30,
    "one character": "x x " * 150,
    "blank lines": "\n" * 300,
}


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.findall(r"^  (rnnkit .+)$", capsys.readouterr().out, re.MULTILINE)


def typed(command: str) -> list[str]:
    return shlex.split(command.replace("--length 400", "--length 5"))[1:]


@pytest.mark.parametrize("level", ["char", "word", "byte", "subword"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_language_model_of_any_text_writes(
    text: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXTS[text], encoding="utf-8")
    files = ["data.train=text.txt", "data.valid=text.txt"]  # words of one line cannot be divided
    assert run(["train", *files, f"data.level={level}", *TINY]) == 0
    commands = printed(capsys)
    assert [command.split()[1] for command in commands] == ["evaluate", "generate", "board"]
    for command in commands[:2]:
        assert run(typed(command)) == 0, capsys.readouterr().err


def test_a_prompt_that_is_refused_is_replaced_by_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXTS["without an A"])
    for level, prompts in {"char": ["Abc", "A", "A\n"], "word": ["Abc bcd", "Abc"]}.items():
        files = ["data.train=text.txt", "data.valid=text.txt"]
        assert run(["train", *files, f"data.level={level}", *TINY, f"run_dir={level}"]) == 0
        for prompt in prompts:
            capsys.readouterr()
            assert run(["generate", level, "--prompt", prompt]) == 2
            fix = capsys.readouterr().err.partition("Try: ")[2].strip()
            again = ["generate", level, *shlex.split(fix)] if fix.startswith("--") else typed(fix)
            assert run([*again, "--length", "5"]) == 0, fix


@pytest.mark.parametrize("name", ["-runs", "my 'runs'", "elsewhere/deep", "$HOME"])
def test_a_folder_of_any_name_can_be_typed(
    name: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quoted = name.replace("'", "\\'")
    assert run(["train", *small, "trainer.limit_train_batches=2", f"run_dir='{quoted}'"]) == 0
    evaluate, generate, board = map(typed, printed(capsys))
    assert Path(evaluate[1]) == Path(generate[1]) == Path(board[1]) == Path(name)
    assert run(evaluate) == 0
    assert run(generate) == 0


def test_a_vocabulary_without_a_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXTS["lines"])
    assert run(["train", "data.path=text.txt", "data.min_count=1000", *TINY]) == 2
    message = capsys.readouterr().err
    assert "data.min_count: expected" in message
    assert message.strip().endswith("Try: data.min_count=1")
