"""The README and the pages of docs/ say nothing that does not work: their code runs, what they point to is there."""

import re
from pathlib import Path

import pytest
from documented import PAGES, ROOT, blocks

ids = [page.name for page in PAGES]


def test_the_pages_are_found() -> None:
    assert len(PAGES) >= 6
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 7


@pytest.mark.parametrize("page", PAGES, ids=ids)
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step`.*")
def test_the_code_runs(page: Path) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    code = [*re.findall(r"`([^`\n]+)`", text), *"".join(blocks(page, "bash")).splitlines()]
    assert {word for line in code for word in re.findall(r"^make ([a-z-]+)", line)} <= targets


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    phony = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())  # type: ignore[index]
    assert explained == phony
