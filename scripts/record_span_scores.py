"""Records what seqeval says of random tags, for tests/tasks/test_spans.py: pip install seqeval, then run this file.

seqeval is no dependency of rnnkit: it brings scikit-learn. Its default mode is that of conlleval.
"""

import json
import random
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "tests" / "tasks" / "recorded_span_scores.json"
TAGS = {
    "bio": ["O", "O", "O", "B-x", "I-x", "B-y", "I-y"],
    "bioes": ["O", "O", "O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"],
}


def main() -> None:
    from seqeval.metrics import classification_report

    rng = random.Random(0)
    cases = []
    for scheme, tags in TAGS.items():
        for share in (0.1, 0.5):  # of tags that are found wrong
            truth = [[rng.choice(tags) for _ in range(rng.randint(1, 12))] for _ in range(40)]
            found = [[rng.choice(tags) if rng.random() < share else tag for tag in one] for one in truth]
            report = classification_report(truth, found, output_dict=True)
            scores = {
                name: {key: float(value) for key, value in row.items()}
                for name, row in report.items()
                if name in ("x", "y", "micro avg")
            }
            cases.append({"scheme": scheme, "truth": truth, "found": found, "scores": scores})
    OUTPUT.write_text(json.dumps(cases, indent=None, separators=(",", ":")) + "\n")
    print(f"{len(cases)} cases in {OUTPUT}")


if __name__ == "__main__":
    main()
