"""`rnnkit train`, for people who look for a script: python scripts/train.py model/cell=gru"""

import sys

from rnnkit.cli import main

main(["train", *sys.argv[1:]])
