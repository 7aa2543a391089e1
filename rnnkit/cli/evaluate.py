"""`rnnkit evaluate runs/RUN`."""

import json
import math
import time

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser(
        "evaluate",
        "Measure a trained language model over a whole split, the state carried from its first token to its last.",
    )
    parser.add_argument("run", help="the folder of the run")
    parser.add_argument("--split", help="train, valid or test; by default test where there is one, else valid")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument("--data", metavar="PATH", help="another text to measure on, in place of the run's own splits")
    parser.add_argument("--lanes", type=int, default=1, help="parts read side by side, each from a fresh state (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse(arguments)
    if given.lanes < 1:
        raise UserError("--lanes", "1 or more", str(given.lanes), fix="--lanes 1")
    quiet()
    import torch

    from rnnkit.data import load_tokenizer
    from rnnkit.tasks import LanguageModeling
    from rnnkit.training import Run
    from rnnkit.training.construct import construct

    run = Run.open(given.run)
    task = run.task(given.checkpoint)
    assert isinstance(task, LanguageModeling)
    config = run.config()
    if given.data is not None:
        for key in ("dataset", "path", "train", "valid", "test"):
            config.data[key] = None
        config.data.test = given.data
    data = construct(config, "data", tokenizer=load_tokenizer(run.vocabulary_file))
    data.setup("test")
    name = given.split or ("test" if "test" in data.splits else "valid")
    started = time.perf_counter()
    with torch.inference_mode():
        total, tokens = task.total_loss(data.loader(name, given.lanes, max(config.data.bptt_steps, 512)))
    seconds = time.perf_counter() - started
    split = data.splits[name]
    bits = total / math.log(2)
    figures = {
        "split": name if given.data is None else given.data,
        "checkpoint": given.checkpoint,
        "tokens": tokens,
        "unknown": split.unknown,
        "loss": total / tokens,
        "perplexity": math.exp(min(total / tokens, 700.0)),
        "bits_per_character": bits / split.characters,
        "bits_per_byte": bits / split.bytes,
        "bits_per_word": bits / split.words,
        "seconds": seconds,
    }
    if given.json:
        print(json.dumps(figures))
        return 0
    print(f"{figures['split']} split of {given.run}, {given.checkpoint}.ckpt: {tokens:,} {config.data.level}s")
    if split.unknown:
        print(f"  {split.unknown:,} of them unknown to the model")
    print(f"  loss        {figures['loss']:.4f} nats per {config.data.level}")
    print(f"  perplexity  {figures['perplexity']:.2f} per {config.data.level}")
    for unit in ("character", "byte", "word"):
        print(f"  bits        {figures[f'bits_per_{unit}']:.4f} per {unit}")
    print(f"  {tokens / seconds:,.0f} tokens/s")
    return 0
