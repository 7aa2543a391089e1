"""The commands of the README, the pages of docs/ and the help texts, as they stand there."""

import contextlib
import io
import re
from itertools import groupby
from pathlib import Path

from rnnkit.cli import COMMANDS, run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDER = re.compile(r"\.\.\.|\b(NAME|KEY|GROUP|COMMAND)\b|(?<!/)\bRUN\b|data get$")
"""What makes a line the pattern of a command, not a command. `runs/RUN` and `FILE` can be put in."""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def groups(page: Path) -> list[list[str]]:
    """The commands of a page: those of a fenced block each alone, indented lines that follow each other together."""
    fenced = [line for language in ("bash", "sh") for block in blocks(page, language) for line in _joined(block)]
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    indented = groupby(text.splitlines(), key=lambda line: line.startswith("    rnnkit "))
    inline = re.findall(r"`(rnnkit \w+ [^`]+)`", text)
    return [
        *([line] for line in fenced if "rnnkit " in line),
        *([line.strip() for line in lines] for is_command, lines in indented if is_command),
        *([command] for command in inline if not PLACEHOLDER.search(command)),
    ]


def help_groups() -> list[list[str]]:
    """The commands that `--help` of rnnkit and of each of its commands shows, each alone."""
    found = []
    for name in ("", *COMMANDS):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            run([*name.split(), "--help"])
        shown = re.findall(
            r"(?:[A-Z_]+=\w+ )?rnnkit \w+\b[^\n`]*", re.sub(r"(?i)^usage:.*(\n +.*)*", "", printed.getvalue())
        )
        found += [re.split(r" {2,}", command)[0] for command in shown]
    commands = [command for command in dict.fromkeys(found) if re.search(r"rnnkit (\S+)", command)[1] in COMMANDS]  # type: ignore[index]
    return [[command] for command in commands if not PLACEHOLDER.search(command)]


def _joined(block: str) -> list[str]:
    """Lines, one that goes on in the next joined with it."""
    return re.sub(r"\\\n\s*", "", block).splitlines()
