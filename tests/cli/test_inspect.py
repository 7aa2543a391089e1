"""`rnnkit inspect`: a report for each kind of task, without a network, and one message for what cannot be inspected."""

import csv
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from rnnkit.cli import run
from rnnkit.insight.units import ranked_units
from rnnkit.training.inspection.page import colored_text

OLD = Path(__file__).parents[1] / "old_runs"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    shutil.copytree(OLD, folder)
    monkeypatch.chdir(folder)
    return folder


class Links(HTMLParser):
    """What a page would load, and its tags that are never closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]


def _check_page(path: Path) -> str:
    text = path.read_text()
    links = Links()
    links.feed(text)
    assert path.stat().st_size < 5_000_000
    assert not [link for link in links.loaded if not link.startswith(("#", "data:"))]
    assert not links.tags & {"script", "link", "iframe"}
    for drawn in text.split("<figure>")[1:]:
        ElementTree.fromstring(drawn[: drawn.index("</svg>") + 6])
    return text


def test_a_language_model_and_its_own_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = runs / "mine.txt"
    text.write_text((runs / "corpus.txt").read_text()[:300])
    features = runs / "features.csv"
    features.write_text("is a,phase\n" + "".join(f"{int(c == 'a')},{n % 5}\n" for n, c in enumerate(text.read_text())))
    arguments = ["inspect", "language_modeling", "--input", str(text), "--features", str(features), "--output", "seen"]
    assert run(arguments) == 0
    assert "the gradient reaches" in capsys.readouterr().out
    page = _check_page(runs / "seen" / "report.html")
    assert "Hover a character" in page
    assert 'title="step 0: ' in page
    (found,) = json.loads((runs / "seen" / "inspect.json").read_text()).values()
    assert found["attribution"]["completeness error"] < 0.01
    assert found["flow"]["layer1"][0] == 1
    assert {"is a", "phase", "column"} <= {match["feature"] for match in found["units"]}
    assert len(found["errors"]) == 20
    assert found["errors"][0]["surprise (nats)"] >= found["errors"][-1]["surprise (nats)"]
    with (runs / "seen" / "flow.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["relative gradient"]) for row in rows] == pytest.approx(found["flow"]["layer1"])
    for name in ("flow", "memory", "gates", "units_layer1", "attribution"):
        assert (runs / "seen" / f"{name}.png").stat().st_size > 5000, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "tagging", "forecasting", "regression"])
def test_every_task_is_inspected(kind: str, runs: Path) -> None:
    assert run(["inspect", kind]) == 0
    _check_page(runs / kind / "inspect" / "report.html")
    (found,) = json.loads((runs / kind / "inspect" / "inspect.json").read_text()).values()
    assert found["layers"]["layer1"]["memory length (steps)"] > 0
    assert found["errors"]
    assert found["attribution"]["completeness error"] < 0.01


@pytest.mark.slow
def test_two_runs_are_beside_each_other(runs: Path) -> None:
    assert run(["inspect", "classification", "regression", "--output", "both"]) == 0
    page = _check_page(runs / "both" / "report.html")
    assert "classification layer1" in page
    assert "regression layer1" in page
    assert set(json.loads((runs / "both" / "inspect.json").read_text())) == {"classification", "regression"}


def test_what_cannot_be_inspected_is_one_message(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "short.csv").write_text("a\n1\n")
    for arguments in (
        ["language_modeling", "--input", "nothing.txt"],
        ["language_modeling", "--features", "short.csv"],
        ["language_modeling", "language_modeling"],
        ["language_modeling", "--output", "corpus.txt"],
        ["nowhere"],
        ["language_modeling", "--split", "other"],
    ):
        assert run(["inspect", *arguments]) == 2, arguments
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rnnkit: ")]
        assert "Try: " in line


def test_units_are_ranked_by_what_they_explain_and_shown_by_their_value() -> None:
    t = torch.arange(60.0)
    slow, fast = torch.sin(t / 9), torch.cos(t * 2)
    units = torch.stack([1e-3 * slow, slow, 100 * fast, slow + 0.1 * fast, torch.zeros(60)], dim=1)
    first, second = ranked_units(units, 2)
    assert first in (0, 1, 3)
    assert second == 2
    shown = colored_text(["<", "\n", "b"], torch.tensor([0.0, 0.5, 1.0]), "cell 3")
    assert 'title="step 0: cell 3 = 0"' in shown
    assert "&lt;" in shown
    assert "↵" in shown
