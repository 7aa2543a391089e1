"""`rnnkit predict runs/RUN --input FILE --output FILE`."""

import contextlib
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError

CHUNK = 50
"""Batches that are read before the first of them is predicted, so that sequences of like length share a batch."""


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser(
        "predict",
        "Say what a trained model makes of new sequences: a file in the format that the model was trained on, whose "
        "targets may be missing and are not looked at.",
    )
    parser.add_argument("run", help="the folder of the run")
    parser.add_argument("--input", default="-", help="a file, or - for standard input, answered as it comes (-)")
    parser.add_argument("--output", default="-", help="a file, or - for standard output (-)")
    parser.add_argument("--format", help="csv, jsonl and others; by default from the name of the output, else jsonl")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument("--batch-size", type=int, help="sequences at a time; 1 for standard input, else the run's")
    given = parser.parse(arguments)
    source = None if given.input == "-" else Path(given.input)
    if source is not None and not source.exists():
        raise UserError("--input", "a file, or - for standard input", f"'{source}'", fix="--input an_existing_file")
    if given.batch_size is not None and given.batch_size < 1:
        raise UserError("--batch-size", "1 or more", str(given.batch_size), fix="--batch-size 32")
    if given.output != "-":
        _check_output(Path(given.output), source)
    quiet()
    from rnnkit.data import SequenceData
    from rnnkit.training import Run

    run = Run.open(given.run)
    task = run.task(given.checkpoint)
    data = run.data()
    if not isinstance(data, SequenceData):
        raise UserError("run", "a run that predicts", f"one of {task.kind}", fix=f"rnnkit generate {given.run}")
    task.check_data(data)
    format_ = given.format or (Path(given.output).suffix.lstrip(".") if given.output != "-" else "") or "jsonl"
    streamed = source is None and given.batch_size is None
    size = 1 if streamed else given.batch_size or data.eval_batch_size
    with _sink(given.output) as sink:
        write = data.writer(sink, format_)
        for example, prediction in _predictions(task, data, source, size, 1 if streamed else CHUNK):
            write(example, prediction)
            if streamed:
                sink.flush()
    return 0


def _check_output(output: Path, source: Path | None) -> None:
    """UserError for a folder, and for what is read itself, by whatever path; a source of None is standard input."""
    got = None
    if output.is_dir():
        got = f"'{output}', a folder"
    elif source is not None and source.is_dir() and output.exists():
        inside = os.path.realpath(output).startswith(os.path.join(os.path.realpath(source), ""))
        got = f"'{output}', a file of the input" if inside else None
    elif output.is_file():
        # a standard input that is no file of the system's has no number
        with contextlib.suppress(OSError, ValueError, AttributeError):
            read = os.fstat(sys.stdin.fileno()) if source is None else source.stat()
            got = f"'{output}', which is the input" if os.path.samestat(output.stat(), read) else None
    if got is not None:
        raise UserError("--output", "a file other than the input", got, fix="--output predictions.csv")


@contextlib.contextmanager
def _sink(output: str) -> Iterator[TextIO]:
    """Standard output; a file that appears when it is whole; a device or a pipe as it is."""
    from rnnkit.files import replacing

    if output == "-":
        yield sys.stdout
        return
    path = Path(os.path.realpath(output))  # a link stays a link
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    try:
        with (
            contextlib.nullcontext(path) if is_special else replacing(path) as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            yield file
    except OSError as error:
        raise UserError(
            "--output", "a file that can be written", f"'{output}' ({error.strerror})", fix="--output -"
        ) from error


def _predictions(task: Any, data: Any, source: Path | None, size: int, chunk: int) -> Iterator[tuple[Any, Any]]:
    """Each example with what the model says of it, in the order of the input; None for one without any step."""
    import torch

    examples = data.read_inputs(source)
    while part := list(islice(examples, size * chunk)):
        order = sorted(range(len(part)), key=lambda index: -data.length(part[index]))
        order = [index for index in order if data.length(part[index])]
        found: dict[int, Any] = {}
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            with torch.inference_mode():
                found.update(zip(indices, task.predict(data.collate([part[i] for i in indices])), strict=True))
        yield from ((example, found.get(index)) for index, example in enumerate(part))
