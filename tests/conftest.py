"""What several test files need: the real configuration, a small corpus and a small trained run."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
if "RNNKIT_DATA" not in os.environ and SHARED.is_dir():
    os.environ["RNNKIT_DATA"] = str(SHARED)

torch.set_num_threads(1)
