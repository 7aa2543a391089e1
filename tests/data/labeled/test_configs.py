"""The YAML of labeled data: every argument is there, with a remark, and every file makes its data."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate

from rnnkit.data import CMAPSSData, CylinderBellFunnel, FunctionSource
from rnnkit.data.labeled.base import LabeledData

CONFIGS = Path(__file__).parents[3] / "configs"
BASES = ["labeled_text", "labeled_series", "labeled_audio"]
SETS = ["sst2", "fsdd", "fsdd_speakers", "japanese_vowels", "natops", "basic_motions", "ecg5000", "cmapss_fd001"]
OWN = ["function_source", "cylinder_bell_funnel"]


def composed(name: str, *overrides: str) -> LabeledData:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        data = instantiate(compose(overrides=["+seed=3", f"+data={name}", *overrides]).data, _convert_="all")
    assert isinstance(data, LabeledData)
    return data


@pytest.mark.parametrize("name", [*BASES, *OWN, "cmapss_fd001"])
def test_the_yaml_names_every_argument(name: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        node = compose(overrides=["+seed=3", f"+data={name}"]).data
    arguments = {
        argument
        for class_ in get_class(node._target_).__mro__
        if issubclass(class_, LabeledData)
        for argument in inspect.signature(class_).parameters
    }
    assert set(node) - {"_target_"} == arguments - {"others"}


@pytest.mark.parametrize("name", BASES)
def test_every_key_of_a_base_says_what_it_is(name: str) -> None:
    for line in (CONFIGS / "data" / f"{name}.yaml").read_text().splitlines()[2:]:
        bare = ("target_column", "window_ms", "eval_batch_size", "split")
        assert line.count("#") == 1 or line.split(":")[0] in bare, line


@pytest.mark.parametrize("name", [*BASES, *OWN, *SETS])
def test_every_yaml_makes_its_data(name: str) -> None:
    data = composed(name)
    assert data.seed == 3
    assert data.task == ("regression" if name == "cmapss_fd001" else "classification")
    assert data.origin.dataset == (None if name in (*BASES, *OWN) else name.replace("fsdd_speakers", "fsdd"))
    own = {"function_source": FunctionSource, "cylinder_bell_funnel": CylinderBellFunnel, "cmapss_fd001": CMAPSSData}
    assert type(data) is own.get(name, type(data))


@pytest.mark.usefixtures("real_data")
def test_speakers_are_apart() -> None:
    data = composed("fsdd_speakers", "data.split.test_groups=[lucas]")
    names = {split: {example.group for example in examples} for split, examples in data.read().items()}
    assert [len(names[split]) for split in ("train", "valid", "test")] == [4, 1, 1]
    assert names["test"] == {"lucas"}
    assert len(set.union(*names.values())) == 6
