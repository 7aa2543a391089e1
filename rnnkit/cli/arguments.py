"""An argument parser that raises UserError."""

import argparse
from typing import NoReturn

from rnnkit.errors import UserError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises UserError instead of printing its usage."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(f"rnnkit {command}", description=description, allow_abbrev=False)

    def add_device(self) -> None:
        """Add `--device`, the device on which the model runs."""
        self.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps (default: cpu)")

    def error(self, message: str) -> NoReturn:
        raise UserError(self.prog, "the arguments that its help lists", message, fix=f"{self.prog} --help")

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        return self.parse_args(arguments)
