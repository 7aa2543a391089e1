"""Random cases of every engine against the Python loop, as many as asked for; a table of what disagreed.

    python tests/engines/differential_soak.py --examples 20000 --seed 1

An interruption ends it early, with the table of what was seen until then. The exit code is 1 after a disagreement.
"""

import argparse
import random
import signal
import sys
import time
from collections import Counter

import torch
from differential import ENGINES, FINE, compared, kind_of, smallest
from differential_cases import Case, cases
from differential_cells import CELLS
from hypothesis import HealthCheck, Phase, given, seed, settings

ROUND = 250
"""Examples between two lines of progress; each round has a seed of its own and forgets what it has drawn."""


LONGEST = 300
"""Seconds for one example, compilers included; an engine that waits forever then raises."""


class Soak:
    """What has been seen."""

    def __init__(self) -> None:
        self.examples = 0
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[str] = Counter()
        self.first: dict[str, tuple[Case, str, str]] = {}

    def look_at(self, case: Case) -> None:
        """Compare all engines over one case."""
        self.examples += 1
        signal.alarm(LONGEST)
        verdicts = compared(case)
        signal.alarm(0)
        for engine, verdict in verdicts.items():
            self.verdicts[engine, verdict if verdict in FINE else "disagrees"] += 1
            if verdict not in FINE:
                kind = kind_of(case, engine, verdict)
                self.kinds[kind] += 1
                known = self.first.get(kind)
                if known is None or _size(case) < _size(known[0]):
                    self.first[kind] = case, engine, verdict

    def progress(self, began: float) -> str:
        """One line."""
        rate = self.examples / (time.monotonic() - began)
        return f"{self.examples} examples, {sum(self.kinds.values())} disagreements, {rate:.1f} examples/s"

    def table(self, shrink: int) -> None:
        """How often each engine was compared, and the smallest case of each kind of disagreement."""
        print("\n| engine | the same | refused | raised as the reference does | disagrees |\n|---|---|---|---|---|")
        for engine in ENGINES:
            print("|", engine, "|", " | ".join(str(self.verdicts[engine, v]) for v in (*FINE, "disagrees")), "|")
        for number, (kind, count) in enumerate(self.kinds.most_common()):
            case, engine, verdict = self.first[kind]
            if number < shrink:
                case = smallest(case, lambda other, e=engine, k=kind: _fails(other, e, k))  # type: ignore[misc]
                verdict = compared(case, (engine,))[engine]
            print(f"\n{count} times: {kind}\n  {verdict}\n  {case.words()}")


def _fails(case: Case, engine: str, kind: str) -> bool:
    verdict = compared(case, (engine,))[engine]
    return verdict not in FINE and kind_of(case, engine, verdict) == kind


def _too_long(*_: object) -> None:
    raise TimeoutError(f"no answer within {LONGEST} s")


def _size(case: Case) -> int:
    return len(case.words())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="a random one where it is not given")
    parser.add_argument("--cells", default=None, help="names with commas between them; all where it is not given")
    parser.add_argument("--shrink", type=int, default=5, help="kinds of disagreement whose case is made smaller")
    given_arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    start = random.SystemRandom().randrange(2**20) if given_arguments.seed is None else given_arguments.seed
    print(f"seed {start}", flush=True)
    composed = [f"composed {start * 8 + number}" for number in range(8)]
    cells = given_arguments.cells.split(",") if given_arguments.cells else [*CELLS, *composed]
    soak, began = Soak(), time.monotonic()
    dtypes = ["float32", "float32", "float32", "float64", "float64", "bfloat16", "float16"]
    sizes = [(3, 4), (3, 4), (1, 1), (4, 17), (2, 8)]
    try:
        while soak.examples < given_arguments.examples:
            left = given_arguments.examples - soak.examples
            several = settings(
                max_examples=min(ROUND, left),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            several(seed(start)(given(cases(cells, sizes, dtypes))(soak.look_at)))()
            print(soak.progress(began), flush=True)
            start += 1
    except KeyboardInterrupt:
        print("interrupted")
    soak.table(given_arguments.shrink)
    print(soak.progress(began))
    sys.exit(1 if soak.kinds else 0)


if __name__ == "__main__":
    main()
