"""What a run is inspected on: a batch for measurements, and one sequence that is shown step by step."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.errors import UserError
from rnnkit.insight.features import series_features, text_features
from rnnkit.notices import counted, notice
from rnnkit.training.trained import TrainedRun

ROWS, STEPS = 16, 128
"""The size of the batch for measurements of a text."""
LONGEST = 2000
"""The most steps of the sequence that is shown."""


@dataclass(frozen=True)
class Material:
    """What a run is inspected on.

    Args:
        batch: sequences with targets, on which everything is measured.
        shown: one sequence, of which units, attribution and errors are shown.
        ticks: a label for each of its steps; None for a series.
        curve: its values [T, C] for a series; None for a text.
        features: names and values [T, F] of features of its steps.
        source: where it comes from, in words.
    """

    batch: SequenceBatch
    shown: SequenceBatch
    ticks: list[str] | None
    curve: Tensor | None
    features: tuple[list[str], Tensor]
    source: str


def material(run: TrainedRun, split: str | None, source: Path | None) -> Material:
    """Return what to inspect a run on: a split of its data, and a file in its format or the start of the split.

    Raises:
        UserError: if the file cannot be read or has no steps.
    """
    split = run.split(split)
    if split not in run.data.splits:
        got, fix = repr(split), f"--split {next(iter(run.data.splits))}"
        raise UserError("--split", f"one of {', '.join(run.data.splits)}", got, fix=fix)
    if "generate" in run.task.capabilities:
        return _of_text(run, split, source)
    batch = next(iter(run.data.loader(split)))
    batch = batch.take(torch.arange(min(ROWS, batch.shape[0]))).to(run.task.device)
    if source is None:
        shown, where = batch.take(torch.tensor([0])), f"the first sequence of the {split} split"
        ticks = None
    else:
        examples = [one for one in islice(run.data.read_inputs(source), 8) if run.data.length(one)]
        if not examples:
            raise UserError("--input", "a file with a sequence", f"'{source}'", fix="another file")
        shown, where = run.data.collate(examples[:1]).to(run.task.device), f"the first sequence of {source}"
        tokens = getattr(examples[0], "tokens", None)
        ticks = None if tokens is None else list(tokens)
    shown, values = _trimmed(shown), readable(shown.inputs)
    length = values.shape[1] if shown.lengths is None else int(shown.lengths[0])
    if values.is_floating_point():
        curve = values[0, :length].double().nan_to_num().cpu()
        names = _channels(run, curve.shape[1])
        return Material(batch, shown, None, curve, series_features(curve, names), where)
    if ticks is None:
        ticks = _tokens(run, values[0, :length])
    return Material(batch, shown, ticks, None, text_features(ticks), where)


def readable(inputs: Any) -> Tensor:
    """Return what a model reads at each step, ids [B, T] or values [B, T, I]: of several tensors the first one."""
    return inputs if isinstance(inputs, Tensor) else readable(inputs[0])


def _of_text(run: TrainedRun, split: str, source: Path | None) -> Material:
    tokenizer, device = run.data.tokenizer, run.task.device
    own = run.data.splits[split].tokens
    steps = max(2, min(STEPS, (len(own) - 1) // ROWS))
    batch = next(iter(run.data.windows(split, ROWS, steps))).to(device)
    if source is None:
        ids, where = own[: LONGEST + 1].long(), f"the start of the {split} split"
    else:
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("--input", "a text in UTF-8", f"'{source}' ({error})", fix="another file") from error
        unknown = tokenizer.missing(text)
        if unknown and tokenizer.unknown is None:
            notice(f"{source}: {counted(len(unknown), 'character')} that training never saw, left out: {unknown[:5]}")
            text = "".join(character for character in text if character not in set(unknown))
        ids, where = tokenizer.encode(text)[: LONGEST + 1], str(source)
    if len(ids) < 2:
        raise UserError("--input", "a text of two tokens or more", f"{len(ids)}", fix="a longer text")
    ids = ids.long().to(device)
    shown = SequenceBatch(ids[None, :-1], ids[None, 1:])
    ticks = [tokenizer.decode([int(token)]) for token in ids[:-1]]
    return Material(batch, shown, ticks, None, text_features(ticks), where)


def _trimmed(shown: SequenceBatch) -> SequenceBatch:
    """Return a sequence of at most `LONGEST` steps; others are cut only where a batch of tensors can be."""
    inputs = shown.inputs
    if isinstance(inputs, Tensor) and inputs.shape[1] > LONGEST:
        notice(f"the first {LONGEST:,} of {inputs.shape[1]:,} steps are shown")
        targets = shown.targets[:, :LONGEST] if shown.targets.dim() > 1 else shown.targets
        return SequenceBatch(inputs[:, :LONGEST], targets)
    return shown


def _tokens(run: TrainedRun, ids: Tensor) -> list[str]:
    tokenizer = getattr(run.data, "tokenizer", None)
    return [tokenizer.decode([token]) if tokenizer is not None else str(token) for token in ids.tolist()]


def _channels(run: TrainedRun, count: int) -> list[str]:
    names = list(getattr(run.task, "channels", []))
    return names if len(names) == count else [f"channel {index}" for index in range(count)]
