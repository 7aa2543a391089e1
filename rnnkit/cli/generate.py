"""The `rnnkit generate` command."""

import sys
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "generate", "Continue a text with a trained language model. Tokens are printed as they are sampled."
    )
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--prompt", action="append", help="text to continue; repeat for several continuations")
    parser.add_argument("--length", type=int, default=400, help="number of tokens to generate (default: 400)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1: more probable text; 0: greedy decoding (default: 1)"
    )
    parser.add_argument(
        "--top-k", type=int, default=0, help="sample from the k most probable tokens; 0: from all (default: 0)"
    )
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="sample from the most probable tokens whose probabilities sum to p; 1: from all (default: 1)",
    )
    parser.add_argument("--seed", type=int, help="random seed; the same seed gives the same text (default: random)")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_device()
    given = parser.parse(arguments)
    if given.seed is not None and not 0 <= given.seed < 2**63:
        raise UserError("--seed", "a whole number from 0 to 2**63 - 1", str(given.seed), fix="--seed 1")
    quiet()
    import torch

    from rnnkit.training import load

    trained = load(given.run, checkpoint=given.checkpoint, device=given.device)
    trained.require("generate")
    prompts, tokenizer = given.prompt or [""], trained.data.tokenizer
    ids, drawn = trained.tokens(
        prompts,
        length=given.length,
        temperature=given.temperature,
        top_k=given.top_k,
        top_p=given.top_p,
        seed=given.seed,
    )
    if len(prompts) == 1:
        _stream(tokenizer, ids[0].tolist(), drawn)
        return 0
    written = torch.stack(list(drawn), dim=1)
    for prompt, row in zip(ids, written, strict=True):
        print("-" * 20)
        print(tokenizer.decode([*prompt.tolist(), *row.tolist()]))
    return 0


def _stream(tokenizer: Any, prompt: list[int], drawn: Any) -> None:
    show = tokenizer.decoder()
    print("".join(show(token) for token in prompt), end="", flush=True)
    for ids_B in drawn:
        sys.stdout.write(show(int(ids_B[0])))
        sys.stdout.flush()
    print()
