"""`rnnkit generate runs/RUN --prompt TEXT`."""

import sys
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser("generate", "Let a trained language model go on with a text. It is printed as it is produced.")
    parser.add_argument("run", help="the folder of the run")
    parser.add_argument("--prompt", action="append", help="text to go on with; several give several texts")
    parser.add_argument("--length", type=int, default=400, help="characters, bytes or words to write (400)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1: more likely text; 0: the likeliest (1)"
    )
    parser.add_argument("--top-k", type=int, default=0, help="draw among the k likeliest tokens; 0: all (0)")
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="draw among the likeliest that add up to p; 1: all (1)"
    )
    parser.add_argument("--seed", type=int, help="the same seed gives the same text; by default another each time")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    given = parser.parse(arguments)
    if given.seed is not None and not 0 <= given.seed < 2**63:
        raise UserError("--seed", "a whole number from 0 to 2**63 - 1", str(given.seed), fix="--seed 1")
    quiet()
    import torch

    from rnnkit.tasks import LanguageModeling, generate
    from rnnkit.training import Run

    run = Run.open(given.run)
    task = run.task(given.checkpoint)
    if not isinstance(task, LanguageModeling):
        raise UserError("run", "a language model", f"a run of {task.kind}", fix=f"rnnkit predict {given.run}")
    tokenizer = run.tokenizer()
    prompts = given.prompt or [""]
    ids = [_encoded(tokenizer, prompt) for prompt in prompts]
    # a model has hardly seen texts begin, but many lines: it reads the end of one first, which is not printed
    line_end = [] if tokenizer.missing("\n") else tokenizer.encode("\n").tolist()
    context = [torch.tensor([*line_end, *prompt.tolist()]) for prompt in ids]
    generator = torch.Generator()
    if given.seed is None:
        generator.seed()
    else:
        generator.manual_seed(given.seed)
    drawn = generate(
        task.model,
        context,
        length=given.length,
        temperature=given.temperature,
        top_k=given.top_k,
        top_p=given.top_p,
        forbidden=[] if tokenizer.unknown is None else [tokenizer.unknown],
        generator=generator,
    )
    if len(prompts) == 1:
        _stream(tokenizer, ids[0].tolist(), drawn)
        return 0
    written = torch.stack(list(drawn), dim=1)
    for prompt, row in zip(ids, written, strict=True):
        print("-" * 20)
        print(tokenizer.decode([*prompt.tolist(), *row.tolist()]))
    return 0


def _encoded(tokenizer: Any, prompt: str) -> Any:
    missing = tokenizer.missing(prompt)
    if missing:
        known = "characters" if tokenizer.level == "char" else "words"
        shown = ", ".join(repr(item) for item in missing[:5])
        raise UserError(
            "--prompt",
            f"{known} of the training text",
            f"{shown}, which the model has never seen",
            fix="a prompt without them; vocabulary.json in the run folder lists what it knows",
        )
    return tokenizer.encode(prompt)


def _stream(tokenizer: Any, prompt: list[int], drawn: Any) -> None:
    show = tokenizer.decoder()
    print("".join(show(token) for token in prompt), end="", flush=True)
    for ids_B in drawn:
        sys.stdout.write(show(int(ids_B[0])))
        sys.stdout.flush()
    print()
