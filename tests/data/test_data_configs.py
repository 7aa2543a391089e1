import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from rnnkit.data import TextData, catalog

CONFIGS = Path(__file__).parents[2] / "configs"
TEXTS = ["python_stdlib", "ptb", "text", "tiny_shakespeare", "wikitext2"]


def composed(name: str, *overrides: str) -> TextData:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        data = instantiate(compose(overrides=[f"+data={name}", *overrides]).data)
    assert isinstance(data, TextData)
    return data


@pytest.mark.parametrize("name", TEXTS)
def test_every_yaml_makes_its_data(name: str, tmp_path: Path) -> None:
    data = composed(name, f"data.path={tmp_path}" if name == "text" else "data.min_count=2")
    assert data.origin.dataset == (None if name == "text" else name)
    assert data.level == ("word" if name in ("ptb", "wikitext2") else "char")


def test_every_known_set_has_a_yaml() -> None:
    assert {path.stem for path in (CONFIGS / "data").glob("*.yaml")} >= {*catalog.DATA_SETS, "text"}


def test_the_yaml_of_texts_names_every_argument() -> None:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        keys = set(compose(overrides=["+data=text"]).data)
    # the tokenizer of a trained run is handed over by the code that evaluates it
    assert keys - {"_target_"} == set(inspect.signature(TextData).parameters) - {"tokenizer"}


def test_a_list_of_paths_and_a_glob_from_the_command_line(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name * 5000)
    for path in (f"[{tmp_path}/a.txt,{tmp_path}/b.txt]", f"'{tmp_path}/*.txt'"):
        data = composed("python_stdlib", f"data.path={path}")
        data.setup()
        assert sum(split.characters for split in data.splits.values()) == 10_001  # a newline between the two
