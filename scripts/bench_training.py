"""Training through the command line against a bare PyTorch loop around the same nn.LSTM model.

    python scripts/bench_training.py [--rounds 5] [--steps 150] [--threads 2]

Both train the same model on the same generated text, one after the other in one process, so that a machine whose speed
drifts treats them alike. Printed are the medians of tokens per second and of the ratio of each round.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from rnnkit.cli import run
from rnnkit.data import TextData

CASES = {
    "python_stdlib": {"lanes": 16, "steps": 64, "hidden": 256, "vocabulary": 96, "precision": "32-true"},
    "tiny_shakespeare": {"lanes": 16, "steps": 64, "hidden": 256, "vocabulary": 65, "precision": "bf16-mixed"},
    "ptb_small": {"lanes": 20, "steps": 20, "hidden": 200, "vocabulary": 10000, "precision": "32-true"},
}


class Bare(nn.Module):
    """What a person writes who needs nothing but the loop."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden, 2, batch_first=True)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, ids, state):
        y, state = self.lstm(self.embedding(ids), state)
        return self.output(y), state


def bare_loop(data: TextData, case: dict, steps: int) -> float:
    """Tokens per second of the loop."""
    ids = data.splits["train"].tokens.long()
    lanes, window = case["lanes"], case["steps"]
    length = (len(ids) - 1) // lanes
    inputs = ids[: lanes * length].view(lanes, length)
    targets = ids[1 : lanes * length + 1].view(lanes, length)
    model = Bare(len(data.tokenizer), case["hidden"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    state = None
    started = time.perf_counter()
    for step in range(steps):
        begin = step * window % (length - window)
        with torch.autocast("cpu", torch.bfloat16, enabled=case["precision"] == "bf16-mixed"):
            logits, state = model(inputs[:, begin : begin + window], state)
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets[:, begin : begin + window].reshape(lanes * window)
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(part.detach() for part in state)
    return steps * lanes * window / (time.perf_counter() - started)


def through_the_command_line(corpus: Path, case: dict, steps: int, folder: Path) -> float:
    """Tokens per second that the run reports: everything but validation, logging included."""
    level = "word" if case["vocabulary"] > 1000 else "char"
    overrides = [
        f"data.path={corpus}",
        f"data.level={level}",
        f"data.lanes={case['lanes']}",
        f"data.bptt_steps={case['steps']}",
        f"model.hidden_size={case['hidden']}",
        f"trainer.precision={case['precision']}",
        "schedule=constant",
        "trainer.max_epochs=-1",
        f"trainer.max_steps={steps}",
        "trainer.limit_val_batches=0",  # neither side validates or writes checkpoints
        "callbacks.sample.length=0",
        f"run_dir={folder}",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["train", *overrides]) == 0
    return json.loads((folder / "summary.json").read_text())["time_steps_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.threads} threads, {given.steps} steps a round, {given.rounds} rounds, torch {torch.__version__}")
    print(f"{'':<22}{'bare loop':>14}{'rnnkit':>14}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            corpus = Path(folder) / f"{name}.txt"
            symbols = torch.randint(0, case["vocabulary"], (600_000,), generator=torch.Generator().manual_seed(0))
            words = case["vocabulary"] > 1000
            units = [f"w{i}" if words else chr(33 + i) for i in range(case["vocabulary"])]
            lines = [(" " if words else "").join(units[i] for i in row) for row in symbols.view(-1, 20).tolist()]
            corpus.write_text("\n".join(lines))
            data = TextData(path=corpus, level="word" if words else "char", lanes=case["lanes"])
            data.setup()
            rounds = []
            for number in range(given.rounds + 1):
                bare = bare_loop(data, case, given.steps)
                ours = through_the_command_line(corpus, case, given.steps, Path(folder) / f"{name}-{number}")
                rounds.append((bare, ours))
            rounds = rounds[1:]  # the first one warms up
            bare, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
            ratio = statistics.median(ours / bare for bare, ours in rounds)
            print(f"{name:<22}{bare:>12,.0f}/s{ours:>12,.0f}/s{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
