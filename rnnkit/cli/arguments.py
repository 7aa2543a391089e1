"""An argument parser whose complaints are ours: one message, exit code 2."""

import argparse
from typing import NoReturn

from rnnkit.errors import UserError


class Parser(argparse.ArgumentParser):
    """Raises UserError instead of printing the usage."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(f"rnnkit {command}", description=description, allow_abbrev=False)

    def add_device(self) -> None:
        """`--device`, where the model computes."""
        self.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps (cpu)")

    def error(self, message: str) -> NoReturn:
        raise UserError(self.prog, "arguments as in its help", message, fix=f"{self.prog} --help")

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        return self.parse_args(arguments)
