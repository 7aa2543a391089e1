"""The README and the pages of docs/ say nothing that does not work: their code runs, their commands run."""

import os
import re
import shlex
from pathlib import Path

import own_files as own
import pytest

from rnnkit.cli import run
from rnnkit.cli.configuration import defaults
from rnnkit.data import catalog
from rnnkit.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=2"]
QUICK += ["trainer.log_every_n_steps=1"]

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


def quick(words: list[str]) -> list[str]:
    """What makes a `rnnkit train` of the pages short, and lets it read a small text where it names no data."""
    config = defaults(words)
    if config["task"]["_target_"] != "rnnkit.tasks.LanguageModeling":
        return QUICK
    asked = " ".join(words)
    added = [*QUICK, "callbacks.sample.length=2"]
    if "experiment" not in asked and "hidden_size" not in asked:
        added.append("model.hidden_size=16")
    if "experiment" not in asked and "--multirun" not in asked and not re.search(r"data(\.path|\.train)?=", asked):
        added.append("data.path=my_corpus.txt")
    return added


def lacks_data(words: list[str]) -> bool:
    """Whether a command reads a data set that this machine has not."""
    name = defaults(words)["data"].get("dataset")
    if name not in catalog.DATA_SETS:
        return False
    try:
        catalog.find(name)
    except UserError:
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=ids)
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step`.*")
def test_the_commands_run(page: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_corpus.txt").write_text(corpus.read_text())
    first = "runs/0"
    for number, command in enumerate(commands(page)):
        words = [first if word == "runs/RUN" else word for word in shlex.split(command, comments=True)[1:]]
        if words[0] in ("board", "replay") or words[:2] == ["data", "get"]:
            continue  # a server, a download, a run gone bad: all tested elsewhere
        if words[0] == "train" and "--cfg" not in words:
            if lacks_data(words[1:]):
                continue
            slow = "experiment" in command or "--multirun" in words
            first = first if slow or (tmp_path / first).exists() else f"runs/{number}"
            words += [*quick(words[1:]), f"run_dir=runs/{number}"]
        if words[0] in ("evaluate", "generate", "resume", "predict") and not (tmp_path / first).exists():
            train = ["data.path=my_corpus.txt", "model.hidden_size=16"]
            assert run(["train", *train, *quick(train), f"run_dir={first}"]) == 0
        assert run(words) == 0, command


def own_commands(page: Path) -> list[str]:
    """Those on a reader's own files: `sh` blocks, a line that goes on in the next one joined with it."""
    lines = [line for block in blocks(page, "sh") for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line for line in lines if "rnnkit " in line and "experiment=" not in line]


def own_files(words: list[str]) -> list[str]:
    """The files that a command reads, by the names that stand in it."""
    values = [word.partition("=")[2] for word in words if re.match(r"data\.(path|train|valid|test|vectors)=", word)]
    return values + [words[place + 1] for place, word in enumerate(words) if word in ("--input", "-f")]


PAGES_WITH_OWN = [page for page in PAGES if own_commands(page)]


def test_the_commands_on_files_of_ones_own_are_found() -> None:
    assert sum(len(own_commands(page)) for page in PAGES_WITH_OWN) >= 17


@pytest.mark.parametrize("page", PAGES_WITH_OWN, ids=[page.name for page in PAGES_WITH_OWN])
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step`.*")
def test_the_commands_on_files_of_ones_own_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs: dict[str, str] = {}  # from the file that a run has learnt from to its folder
    for number, command in enumerate(own_commands(page)):
        words = shlex.split(command)
        read = own_files(words)
        for name in read:
            if not (tmp_path / name).exists():
                own.write_own(name, tmp_path)
        asked = words[words.index("rnnkit") + 1 :]
        if asked[0] == "train":
            runs.setdefault(read[0], f"runs/{number}")
            asked += ["model.hidden_size=8", "data.batch_size=4", *QUICK, f"run_dir=runs/{number}"]
        else:
            asked = [runs[own.TRAINED_ON[read[0]]] if word == "runs/RUN" else word for word in asked]
        capsys.readouterr()
        with open(tmp_path / read[0] if "|" in words else os.devnull) as typed:
            monkeypatch.setattr("sys.stdin", typed)
            assert run(asked) == 0, command
        if asked[0] == "predict":
            printed = capsys.readouterr().out
            said = Path(asked[asked.index("--output") + 1]).read_text() if "--output" in asked else printed
            assert len(said.splitlines()) >= 10, command


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    code = [*re.findall(r"`([^`\n]+)`", text), *"".join(blocks(page, "bash")).splitlines()]
    assert {word for line in code for word in re.findall(r"^make ([a-z-]+)", line)} <= targets


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    phony = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())  # type: ignore[index]
    assert explained == phony
