"""A run that is killed again and again ends with the weights and the curves of one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")
SHORT = ["trainer.max_epochs=2", "trainer.limit_train_batches=20", "trainer.log_every_n_steps=3", "save_minutes=1e-9"]
TEXT = [
    *("data.path={corpus}", "data.lanes=4", "data.bptt_steps=16"),
    *("model.hidden_size=16", "model.num_layers=1", "model.dropout=0.2"),
]
SERIES = [
    *("task=classification", "data=cylinder_bell_funnel", "data.train_size=160", "data.valid_size=30"),
    *("data.batch_size=8", "model.hidden_size=8"),
]
RUNS = {
    "language_modeling": TEXT,
    "stopping early": [
        *(*TEXT, "patience=3", "schedule=reduce_on_plateau", "optimizer=rmsprop", "clipping=percentile"),
    ],
    "averaged": [
        *(*TEXT, "averaging=ema", "averaging.decay=0.9"),
        *("trainer.accumulate_grad_batches=2", "data.random_steps=true"),
    ],
    "loader workers": [*SERIES, "data.workers=2"],
}


@pytest.mark.parametrize(
    "name", ["language_modeling", *(pytest.param(n, marks=pytest.mark.slow) for n in list(RUNS)[1:])]
)
def test_kills_lose_nothing_that_a_resume_does_not_bring_back(name: str, corpus: Path) -> None:
    command = [
        sys.executable,
        str(KILLS),
        "--kills",
        "6",
        "--within",
        "90",
        "--seed",
        "1",
        *(item.replace("{corpus}", str(corpus)) for item in RUNS[name]),
        *SHORT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 3
    assert found["steps_lost"] <= 4 * found["kills"]  # each step is saved, but for the last of an epoch
    assert found["bytes_differing"] == 0
    assert found["points_differing"] == 0
