"""What several test files need: the shared data, a small corpus, a small trained run."""

import os
import tempfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
if "RNNKIT_DATA" not in os.environ and SHARED.is_dir():
    os.environ["RNNKIT_DATA"] = str(SHARED)

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="rnnkit-state-")  # which classes of one's own were typed

torch.set_num_threads(1)

WORDS = "the river runs to the sea and the sea is never full so it comes again".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every run, and whichever test comes first."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 40,000 characters in which the next one can mostly be foreseen."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    lines = [" ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 9)) for n in range(1, 1000)]
    path.write_text("\n".join(lines) + "\n")
    return path


SMALL = [
    "model.hidden_size=24",
    "model.num_layers=1",
    "model.dropout=0.2",
    "data.lanes=4",
    "data.bptt_steps=16",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=20",
    "trainer.log_every_n_steps=5",
]


@pytest.fixture(scope="session")
def small(corpus: Path) -> list[str]:
    """Overrides that make a run end within a second."""
    return [f"data.path={corpus}", *SMALL]


@pytest.fixture(scope="session")
def trained(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run; not to be changed."""
    from rnnkit.cli import run

    folder = tmp_path_factory.mktemp("runs") / "trained"
    assert run(["train", *small, f"run_dir={folder}"]) == 0
    return folder
