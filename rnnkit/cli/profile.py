"""The `rnnkit profile` command."""

import time
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError
from rnnkit.strict_json import dumps


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "profile",
        "Count the operations and the memory of one step of a trained model, and measure its time in a live session on "
        "one thread.",
    )
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_argument("--steps", type=int, default=2000, help="the number of measured steps (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse(arguments)
    if given.steps < 1:
        raise UserError("--steps", "1 or more", str(given.steps), fix="--steps 2000")
    quiet()
    import torch

    from rnnkit.deploy import Session
    from rnnkit.deploy.cost import BASIS, cost_of
    from rnnkit.training import load

    torch.set_num_threads(1)
    session = Session(load(given.run, checkpoint=given.checkpoint).step())
    cost = cost_of(session.frozen)
    p50, p99 = _times(session, given.steps)
    values: dict[str, Any] = {
        "macs": cost.macs if cost.traced else None,
        "operations": cost.operations,
        "weight_bytes": cost.weight_bytes,
        "state_bytes": cost.state_bytes,
        "working_bytes": cost.working_bytes,
        "dtype": cost.dtype,
        "compiled": cost.traced,
        "p50_us": p50,
        "p99_us": p99,
        "energy": {"microjoules": cost.microjoules if cost.traced else None, "estimate": True, "basis": BASIS},
    }
    print(dumps(values) if given.json else _text(values, cost.level))
    return 0


def _times(session: Any, steps: int) -> tuple[float, float]:
    """Return p50 and p99 of a step in microseconds, after some that are not counted."""
    from rnnkit.cells import map_state

    frozen = session.frozen
    x = 0 if frozen.limit is not None else map_state(lambda leaf: leaf[0], frozen.x)
    for _ in range(min(steps, 100)):
        session.step(x)
    times = []
    for _ in range(steps):
        begun = time.perf_counter_ns()
        session.step(x)
        times.append((time.perf_counter_ns() - begun) / 1e3)
    times.sort()
    return times[len(times) // 2], times[min(len(times) * 99 // 100, len(times) - 1)]


def _text(values: dict[str, Any], level: str) -> str:
    energy = values["energy"]
    lines = {
        "multiply-adds": "unknown, since the step is not compiled" if values["macs"] is None else f"{values['macs']:,}",
        "other operations": ", ".join(f"{name} {count:,}" for name, count in values["operations"].items()) or "-",
        "weights": f"{values['weight_bytes']:,} bytes, {values['dtype']}",
        "state": f"{values['state_bytes']:,} bytes for each sequence",
        "working memory": f"{values['working_bytes']:,} bytes",
        "time of a step": f"p50 {values['p50_us']:.1f} µs, p99 {values['p99_us']:.1f} µs, one thread",
        "energy": "unknown"
        if energy["microjoules"] is None
        else f"about {energy['microjoules']:.3g} µJ (estimate: {energy['basis']}, from {level})",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())
