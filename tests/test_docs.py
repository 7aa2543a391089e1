"""The README and the pages of docs/ say nothing that does not work: their code runs, their commands run."""

import os
import re
import shlex
from pathlib import Path

import pytest

from rnnkit.cli import run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=2"]
QUICK += ["trainer.log_every_n_steps=1", "callbacks.sample.length=2"]

ids = [page.name for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("rnnkit ")]


def test_the_pages_are_found() -> None:
    assert len(PAGES) >= 6
    assert sum(len(commands(page)) for page in PAGES) >= 20
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 7


@pytest.mark.parametrize("page", PAGES, ids=ids)
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step`.*")
def test_the_code_runs(page: Path) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_commands_run(page: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_corpus.txt").write_text(corpus.read_text())
    first = "runs/0"
    for number, command in enumerate(commands(page)):
        words = [first if word == "runs/RUN" else word for word in shlex.split(command, comments=True)[1:]]
        needs = next((name for name in ("tiny_shakespeare", "ptb", "wikitext2") if name in command), None)
        if words[0] == "board" or (needs and "RNNKIT_DATA" not in os.environ):
            continue  # the board is a server, tested elsewhere; a data set that is not here cannot be read
        if words[0] == "train" and "--cfg" not in words:
            slow = "experiment" in command or "--multirun" in words
            first = first if slow or (tmp_path / first).exists() else f"runs/{number}"
            words += [*QUICK, f"run_dir=runs/{number}"]
            if "experiment" not in command and "hidden_size" not in command:
                words += ["model.hidden_size=16"]
            if not slow and not re.search(r"data(\.path|\.train)?=", command):
                words += ["data.path=my_corpus.txt"]
        if words[0] in ("evaluate", "generate", "resume") and not (tmp_path / first).exists():
            assert run(["train", "data.path=my_corpus.txt", *QUICK, f"run_dir={first}"]) == 0
        assert run(words) == 0, command


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {word for word in re.findall(r"`?make ([a-z-]+)`?", text) if f"make {word}" in text} <= targets | {"check"}


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    phony = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())  # type: ignore[index]
    assert explained == phony
