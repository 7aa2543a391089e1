"""The `rnnkit stream` command."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError
from rnnkit.strict_json import dumps


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "stream",
        "Read standard input row by row, as it arrives, and print an answer to each row at once, as JSON. A row is a "
        "step of a series, in the format of the training data, or a line of text. Series with different ids are "
        "separate sequences. At the end, the times of the answers are printed on standard error.",
    )
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument(
        "--max-sequences", type=int, default=1024, help="the most series at the same time (default: 1024)"
    )
    given = parser.parse(arguments)
    quiet()
    from rnnkit.deploy import SessionBank
    from rnnkit.training import load

    trained = load(given.run, checkpoint=given.checkpoint)
    answers = _answers_to(trained)
    bank = SessionBank(trained.step(), max_sequences=given.max_sequences)
    seconds: list[float] = []
    try:
        for answer in answers(bank, seconds):
            print(dumps(answer), flush=True)
    finally:
        if seconds:
            print(_times(seconds), file=sys.stderr)
    return 0


def _answers_to(trained: Any) -> Callable[[Any, list[float]], Iterator[dict[str, Any]]]:
    if "generate" in trained.task.capabilities:
        return lambda bank, seconds: _to_text(trained, bank, seconds)
    if hasattr(trained.data, "read_steps") and hasattr(trained.task, "answers"):
        return lambda bank, seconds: _to_series(trained, bank, seconds)
    expected = "a run on series of numbers, or a language model"
    raise UserError("run", expected, f"a run of {trained.task.kind}", fix=f"rnnkit predict {trained.folder}")


def _to_series(trained: Any, bank: Any, seconds: list[float]) -> Iterator[dict[str, Any]]:
    from rnnkit.data.io.standard_input import stdin_lines

    is_curve = getattr(trained.model, "pooling", None) is None
    steps: dict[Any, int] = {}
    for example in trained.data.read_steps(stdin_lines()):
        begun = time.perf_counter()
        if example.id not in bank:
            bank.start(example.id)
        y_1O = bank.push({example.id: example.inputs})[example.id]
        (prediction,) = trained.task.answers(y_1O[None] if is_curve else y_1O)
        (row,) = trained.data.rows(example, prediction)
        step = steps.get(example.id, 0)
        steps[example.id] = step + 1
        named = {} if example.id == "" else {"id": example.id}
        yield {**named, "step": step, **{key: value for key, value in row.items() if key not in ("id", "step")}}
        seconds.append(time.perf_counter() - begun)


def _to_text(trained: Any, bank: Any, seconds: list[float]) -> Iterator[dict[str, Any]]:
    import torch

    from rnnkit.data.io.standard_input import stdin_lines

    tokenizer = trained.data.tokenizer
    bank.start("text")
    expected = None  # the logits of the next token
    for number, line in enumerate(stdin_lines(), 1):
        begun = time.perf_counter()
        missing = tokenizer.missing(line)
        if missing:
            got = f"{', '.join(map(repr, missing[:5]))} in line {number}"
            raise UserError("standard input", "tokens of the training text", got, fix="text without them")
        ids_T = tokenizer.encode(line)
        if not len(ids_T):
            continue
        logits_TV = bank.push({"text": ids_T})["text"].float()
        before_TV = logits_TV[:-1] if expected is None else torch.cat([expected[None], logits_TV[:-1]])
        read_T = ids_T[len(ids_T) - len(before_TV) :].long()
        loss = torch.nn.functional.cross_entropy(before_TV, read_T).item() if len(read_T) else None
        expected = logits_TV[-1]
        share, token = expected.softmax(0).max(0)
        next_token = tokenizer.decode([int(token)])
        yield {"tokens": len(ids_T), "nats_per_token": loss, "next": next_token, "probability": share.item()}
        seconds.append(time.perf_counter() - begun)


def _times(seconds: list[float]) -> str:
    """Format the number of answers and the quantiles of their times."""
    ordered = sorted(seconds)

    def quantile(level: float) -> str:
        return f"{1e6 * ordered[min(int(level * len(ordered)), len(ordered) - 1)]:,.0f} µs"

    return f"rnnkit: {len(ordered):,} answers, p50 {quantile(0.5)}, p99 {quantile(0.99)} from the row to the answer"
