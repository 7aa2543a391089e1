"""Every cell that a YAML names keeps the promises; adding a YAML adds its tests."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import rnnkit.cells
from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.testing import check_cell

CONFIGS = Path(__file__).parents[2] / "configs" / "model" / "cell"
YAMLS = sorted(CONFIGS.glob("*.yaml"))


def factory_from(path: Path) -> Callable[[int, int], Cell[Any]]:
    options = OmegaConf.load(path)
    assert options._partial_ is True
    return instantiate(options, _convert_="all")  # type: ignore[no-any-return]


def test_the_yamls_are_found() -> None:
    assert len(YAMLS) >= 3


# One of each kind: gates, a state in parts, linear, complex, noise that lasts for a window and for a step.
QUICK = {"gru", "lstm", "min_gru", "lru", "weight_drop_lstm", "zoneout_lstm"}
EACH = [pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow) for path in YAMLS]


@pytest.mark.parametrize("path", EACH)
def test_cell_of_a_yaml_keeps_the_promises(path: Path) -> None:
    check_cell(factory_from(path))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_a_yaml_says_in_its_first_line_what_the_cell_is(path: Path) -> None:
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize(
    "factory",
    [
        partial(GRUCell, reset_after=False),
        pytest.param(partial(GRUCell, reset_after=False, bias=False), marks=pytest.mark.slow),
        partial(ElmanCell, nonlinearity="relu"),
        partial(LSTMCell, bias=False),
        pytest.param(partial(GRUCell, bias=False), marks=pytest.mark.slow),
        pytest.param(partial(ElmanCell, bias=False), marks=pytest.mark.slow),
    ],
    ids=["gru-before", "gru-before-no-bias", "elman-relu", "lstm-no-bias", "gru-no-bias", "elman-no-bias"],
)
def test_the_other_options_keep_the_promises(factory: Callable[[int, int], Cell[Any]]) -> None:
    check_cell(factory, input_size=3, hidden_size=2)


CELLS = [getattr(rnnkit.cells, name) for name in rnnkit.cells.__all__ if name.endswith("Cell")]
FAMILIES = [cell for cell in CELLS if not inspect.isabstract(cell)]


@pytest.mark.parametrize("cell", FAMILIES)
def test_a_cell_is_one_short_file_with_its_equation(cell: type) -> None:
    source = Path(inspect.getfile(cell)).read_text()
    assert len(source.splitlines()) <= 90
    assert ".. math::" in (cell.__doc__ or "")
    assert ">>>" in (cell.__doc__ or "")


@pytest.mark.parametrize("cell", FAMILIES)
def test_no_cell_inherits_from_a_finished_cell(cell: type) -> None:
    assert all(inspect.isabstract(base) for base in cell.__mro__[1:] if issubclass(base, Cell) and base is not Cell)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, ElmanCell])
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1)])
def test_a_size_below_one_is_refused(cell: type, sizes: tuple[int, int]) -> None:
    wrong = min(sizes)
    with pytest.raises(UserError, match=rf"_size: expected .* at least 1; got {wrong}\. Try: model\..*_size="):
        cell(*sizes)


def test_an_unknown_nonlinearity_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"nonlinearity: expected tanh or relu; got 'gelu'.*model.cell.nonlinearity=tanh"
    ):
        ElmanCell(3, 3, nonlinearity="gelu")  # type: ignore[arg-type]


@pytest.mark.parametrize(("cell", "gates"), [(LSTMCell, 4), (GRUCell, 3), (ElmanCell, 1)])
def test_first_weights(cell: Any, gates: int) -> None:
    built = cell(6, 8)
    for block_HH in built.weight_hh.chunk(gates):
        torch.testing.assert_close(block_HH @ block_HH.T, torch.eye(8))
    bound = (6 / (6 + 8)) ** 0.5
    assert 0.8 * bound < built.weight_ih.abs().max() <= bound
    assert not built.bias_hh.any()


def test_the_forget_bias_is_whole_and_in_one_place() -> None:
    cell = LSTMCell(3, 2, forget_bias=1.5)
    assert cell.bias_ih is not None
    assert cell.bias_ih.tolist() == [0, 0, 1.5, 1.5, 0, 0, 0, 0]


def test_cells_can_be_built_in_half_precision_and_without_storage() -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert LSTMCell(3, 5).weight_hh.dtype == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert LSTMCell(3, 5).weight_hh.is_meta
