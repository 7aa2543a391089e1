"""Every command of the README, the pages of docs/ and the help texts does what it says, as it stands.

Each runs in a new folder that holds the files that it names. Two things are put in: `runs/RUN` stands for a run that
was trained by a command of the same page, and `FILE` for a file of one's own. A training is cut short by `trainer.*`
limits behind the command. Nothing else is changed.
"""

import math
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import own_files as own
import pytest
from documented import PAGES, blocks, groups, help_groups

from rnnkit.cli import run
from rnnkit.cli.configuration import defaults
from rnnkit.data import catalog
from rnnkit.errors import UserError

LIMITS = ["trainer.max_steps=2", "trainer.limit_val_batches=2", "trainer.log_every_n_steps=1"]
MORE = ["trainer.max_steps=4"]
"""Of a run that is resumed."""
PLAIN = "rnnkit train data.path=my_corpus.txt"
"""What trains the run of a page that trains none."""
BAD = f"{PLAIN} model/cell=elman model.cell.nonlinearity=relu optimizer=sgd optimizer.lr=1e30 clipping=none"
"""What gives `rnnkit replay` something to look at."""

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*You defined a `validation.*")
ALL = {**{page.name: groups(page) for page in PAGES}, "help": help_groups()}


def words_of(command: str) -> list[str]:
    """What follows `rnnkit`."""
    words = shlex.split(re.sub(r" < \S+$", "", command), comments=True)
    files = iter(["new_reviews.csv", "predictions.csv"])
    return [next(files) if word == "FILE" else word for word in words[words.index("rnnkit") + 1 :]]


def cases() -> Iterator[Any]:
    """Each command of a page; one that stands on several pages once, unless its run is that of the page."""
    seen: list[list[list[str]]] = []
    verbs: set[tuple[str, str]] = set()
    for page, found in ALL.items():
        for number, commands in enumerate(found):
            parts = [words_of(command) for command in commands]
            if parts not in seen:
                # of the pages, the first command of each kind is in the quick suite
                is_quick = page in ("README.md", "help") or (page, parts[0][0]) not in verbs
                verbs.add((page, parts[0][0]))
                given = marks(commands) if is_quick else [pytest.mark.slow]
                yield pytest.param(page, commands, id=f"{page}-{number}", marks=given)
            seen += [] if "runs/RUN" in parts[0] and page != "help" else [parts]


def marks(commands: list[str]) -> list[pytest.MarkDecorator]:
    if len(commands) > 1 or re.search(
        r"--multirun|experiment=|rnnkit board|task=(tagging|forecasting) model", commands[0]
    ):
        return [pytest.mark.slow]
    return []


def test_the_commands_are_found() -> None:
    assert sum(map(len, ALL.values())) >= 75
    assert len(ALL["help"]) >= 15
    assert len(ALL["README.md"]) >= 14


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs that commands of the pages have left, by the command."""
    return {}


@pytest.mark.parametrize(("page", "commands"), [*cases()])
def test_a_command_works_as_it_stands(
    page: str,
    commands: list[str],
    runs: dict[str, Path],
    corpus: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in commands:
        words = words_of(command)
        if "runs/RUN" in words:
            trainer = training_of(page, words)
            if trainer not in runs:
                runs[trainer] = trained(trainer, corpus, tmp_path_factory.mktemp("runs"), monkeypatch)
            words = [str(shutil.copytree(runs[trainer], tmp_path / "run")) if w == "runs/RUN" else w for w in words]
        prepare(words, corpus, tmp_path)
        if words[0] == "train" and lacks_data(words[1:]):
            pytest.skip("a data set that is not on this machine")
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        if words[0] == "board":
            board(words)
            continue
        with open(tmp_path / typed_file(command) if "|" in command else "/dev/null") as typed:
            monkeypatch.setattr("sys.stdin", typed)
            for variable in re.findall(r"^([A-Z_]+)=(\w+) rnnkit", command):
                monkeypatch.setenv(*variable)
            assert run([*words, *limits(words)]) == 0, command
    if words[0] == "predict":
        printed = capsys.readouterr().out
        found = (tmp_path / words[words.index("--output") + 1]).read_text() if "--output" in words else printed
        assert len(found.splitlines()) >= 10
    if words[0] == "train" and limits(words):
        assert len([*tmp_path.rglob("summary.json")]) == (combinations(words) if "--multirun" in words else 1)


def limits(words: list[str]) -> list[str]:
    is_training = words[0] == "train" and not {"--cfg", "--help"} & set(words)
    return LIMITS if is_training else MORE if words[0] == "resume" else []


def combinations(words: list[str]) -> int:
    """The runs of a sweep; brackets hold commas of their own."""
    counts = [re.sub(r"\[.*?\]", "", word).count(",") + 1 for word in words if "=" in word]
    return math.prod(counts)


def typed_file(command: str) -> str:
    """The file that a command follows as it grows."""
    return shlex.split(command)[2]


def read_files(words: list[str]) -> list[str]:
    """The files that a command reads, by the names that stand in it."""
    values = [word.partition("=")[2] for word in words if re.match(r"data\.(path|train|valid|test|vectors)=", word)]
    return values + [words[place + 1] for place, word in enumerate(words) if word == "--input"]


def training_of(page: str, words: list[str]) -> str:
    """The command of the page that has trained the run for another command."""
    if words[0] == "replay":
        return BAD
    here = [commands[0] for commands in ALL[page]]
    everywhere = [commands[0] for found in ALL.values() for commands in found]
    if words[0] == "predict":
        new = next(iter(read_files(words)), "log.csv" if page == "classification.md" else "tokens.txt")
        return next(
            one for one in (*here, *everywhere) if one.startswith("rnnkit train") and f"={own.TRAINED_ON[new]}" in one
        )
    plain = re.compile(r"rnnkit train (?!.*(experiment=|my_lab|--|data=|\.csv|\.conllu))")
    return next((one for one in here if plain.match(one)), PLAIN)


def prepare(words: list[str], corpus: Path, folder: Path) -> None:
    """Write what a command reads."""
    shutil.copy(corpus, folder / "my_corpus.txt")
    for name in (*read_files(words), "log.csv", "tokens.txt"):
        if not (folder / name).exists() and not name.startswith("/"):
            own.write_own(name, folder)
    if any("my_lab" in word for word in words):
        own.write_package(folder)
        if any("Parities" in word for word in words):
            page = next(page for page in PAGES if page.name == "extending.md")
            (folder / "my_lab" / "__init__.py").write_text("\n".join(blocks(page, "python")[:-1]))
        # another test of this process may have a my_lab of its own
        for name in [name for name in sys.modules if name.split(".")[0] == "my_lab"]:
            del sys.modules[name]
        own_labs = [place for place in sys.path if Path(place, "my_lab.py").exists() or Path(place, "my_lab").is_dir()]
        sys.path[:] = [place for place in sys.path if place not in own_labs]


def trained(command: str, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder that a command leaves."""
    prepare(words_of(command), corpus, folder)
    monkeypatch.chdir(folder)
    assert run([*words_of(command), *(LIMITS if command != BAD else [])]) == (0 if command != BAD else 2)
    return next(folder.rglob("config.yaml")).parent


def lacks_data(words: list[str]) -> bool:
    """Whether a command reads a data set that this machine has not."""
    if "--cfg" in words or "--help" in words:
        return False
    name = defaults(words)["data"].get("dataset")
    if name not in catalog.DATA_SETS:
        return False
    try:
        catalog.find(name)
    except UserError:
        return True
    return False


def board(words: list[str]) -> None:
    """Start a server and end it as its message says."""
    Path("runs").mkdir()
    command = [sys.executable, "-m", "rnnkit", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            assert process.stderr is not None
            assert "a free port" in process.stderr.read()
            pytest.skip("the port is taken")
        assert "http://localhost:6006" in said
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
