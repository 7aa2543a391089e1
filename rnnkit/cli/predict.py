"""The `rnnkit predict` command."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "predict",
        "Predict on new sequences. The input is a file in the format of the training data. Targets may be missing; "
        "they are ignored.",
    )
    parser.add_argument("run", help="the run folder")
    parser.add_argument(
        "--input", default="-", help="a file, or - for standard input, which is processed as it arrives (default: -)"
    )
    parser.add_argument("--output", default="-", help="a file, or - for standard output (default: -)")
    parser.add_argument(
        "--format", help="csv, jsonl or another format of the task (default: the extension of the output, else jsonl)"
    )
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument(
        "--batch-size", type=int, help="sequences per batch (default: 1 for standard input, else as in the run)"
    )
    parser.add_device()
    given = parser.parse(arguments)
    source = None if given.input == "-" else Path(given.input)
    if source is not None and not source.exists():
        raise UserError("--input", "a file, or - for standard input", f"'{source}'", fix="--input an_existing_file")
    if given.batch_size is not None and given.batch_size < 1:
        raise UserError("--batch-size", "1 or more", str(given.batch_size), fix="--batch-size 32")
    if given.output != "-":
        _check_output(Path(given.output), source)
    quiet()
    from rnnkit.training import load

    trained = load(given.run, checkpoint=given.checkpoint, device=given.device)
    trained.require("predict")
    format_ = given.format or (Path(given.output).suffix.lstrip(".") if given.output != "-" else "") or "jsonl"
    streamed = source is None and given.batch_size is None
    with _sink(given.output) as sink:
        write = trained.data.writer(sink, format_)
        how = {"batch_size": 1, "ahead": 1} if streamed else {"batch_size": given.batch_size}
        for example, prediction in trained.predict(source, **how):
            write(example, prediction)
            if streamed:
                sink.flush()
    return 0


def _check_output(output: Path, source: Path | None) -> None:
    """Check that the output is not a folder and not the input itself, by whatever path.

    Args:
        output: the output file.
        source: the input file; None is standard input.

    Raises:
        UserError: predictions cannot be written there.
    """
    got = None
    if output.is_dir():
        got = f"'{output}', a folder"
    elif source is not None and source.is_dir() and output.exists():
        inside = os.path.realpath(output).startswith(os.path.join(os.path.realpath(source), ""))
        got = f"'{output}', a file of the input" if inside else None
    elif output.is_file():
        # a standard input that is not a file of the system has no file descriptor
        with contextlib.suppress(OSError, ValueError, AttributeError):
            read = os.fstat(sys.stdin.fileno()) if source is None else source.stat()
            got = f"'{output}', which is the input" if os.path.samestat(output.stat(), read) else None
    if got is not None:
        raise UserError("--output", "a file other than the input", got, fix="--output predictions.csv")


@contextlib.contextmanager
def _sink(output: str) -> Iterator[TextIO]:
    """The open output: standard output, a device or a pipe, or a file that appears only when it is complete."""
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
