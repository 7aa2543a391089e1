"""What `rnnkit evaluate` says of a language model."""

import math
import time
from typing import Any

import torch

from rnnkit.tasks import LanguageModeling
from rnnkit.tasks.language_modeling import perplexity
from rnnkit.tasks.metrics.table import shown
from rnnkit.training import Run
from rnnkit.training.construct import construct


def measured(
    run: Run, task: LanguageModeling, config: Any, split: str | None, lanes: int
) -> tuple[dict[str, Any], str]:
    """The figures over a whole split, the state carried from its first token to its last, and the lines to print."""
    data = construct(config, "data", tokenizer=run.tokenizer(config))
    data.setup("test")
    name = split or ("test" if "test" in data.splits else "valid")
    started = time.perf_counter()
    with torch.inference_mode():
        total, tokens = task.total_loss(data.loader(name, lanes, max(config.data.bptt_steps, 512)))
    seconds = time.perf_counter() - started
    text = data.splits[name]
    bits = total / math.log(2)
    figures = {
        "split": name,
        "tokens": tokens,
        "unknown": text.unknown,
        "loss": total / tokens,
        "perplexity": perplexity(total / tokens),
        "bits_per_character": bits / text.characters,
        "bits_per_byte": bits / text.bytes,
        "bits_per_word": bits / text.words,
        "seconds": seconds,
    }
    level = config.data.level
    lines = [f"{tokens:,} {level}s"]
    if text.unknown:
        lines.append(f"  {text.unknown:,} of them unknown to the model")
    lines.append(f"  loss        {figures['loss']:.4f} nats per {level}")
    lines.append(f"  perplexity  {shown(figures['perplexity'])} per {level}")
    lines += [f"  bits        {figures[f'bits_per_{unit}']:.4f} per {unit}" for unit in ("character", "byte", "word")]
    lines.append(f"  {tokens / seconds:,.0f} tokens/s")
    return figures, "\n".join(lines)
