"""How often alarms are missed and false: `python scripts/alarm_rates.py`, untrained models over 10 seeds and 5 cells.

Each illness is planted as in `tests/insight/ill_models.py`; a healthy model is one with the usual initialization.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "insight"))

from ill_models import ILLNESSES, KINDS, found, rows_of

SEEDS = 10


def main() -> None:
    print("| cell | " + " | ".join(f"{name}: missed" for name in ILLNESSES) + " | healthy: false alarms |")
    print("|---|" + "---|" * (len(ILLNESSES) + 1))
    for kind in KINDS:
        cells = []
        for name, (harm, fits) in ILLNESSES.items():
            if not fits(kind):
                cells.append("")
                continue
            heard = [found(rows_of(kind, harm, seed)) for seed in range(SEEDS)]
            missed = sum(not any(one.startswith(name) for one in kinds) for kinds in heard)
            cells.append(f"{missed} of {SEEDS}")
        false = sum(bool(found(rows_of(kind, None, seed))) for seed in range(SEEDS))
        print(f"| {kind} | " + " | ".join(cells) + f" | {false} of {SEEDS} |", flush=True)


if __name__ == "__main__":
    main()
