"""A step as source code in C++ or C, which needs no library but libm."""

from rnnkit.deploy.program.check import check
from rnnkit.deploy.program.source import write

__all__ = ["check", "write"]
