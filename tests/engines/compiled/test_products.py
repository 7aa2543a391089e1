"""Products over all steps, with our own kernel: every shape, any strides, one thread and more."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rnnkit.engines import toolchain
from rnnkit.engines.compiled.plan.products import FUNCTIONS, NARROW, matmul

pytestmark = pytest.mark.skipif(toolchain.missing() is not None, reason=f"{toolchain.missing()}")

SIZES = [(1, 1, 1), (7, 64, 5), (97, 200, 130), (150, 96, 385), (300, 97, 1000), (98, 640, 2100), (700, 130, 500)]


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def with_strides(rows: int, columns: int, kind: str, dtype: torch.dtype) -> Tensor:
    """Random values, row by row, column by column, or as a part of a larger matrix."""
    if kind == "columns":
        return torch.randn(columns, rows, dtype=dtype).t()
    if kind == "part":
        return torch.randn(rows, columns + 3, dtype=dtype)[:, 1:-2]
    return torch.randn(rows, columns, dtype=dtype)


@pytest.mark.parametrize("dtype", FUNCTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_product(size: tuple[int, int, int], dtype: torch.dtype, threads: int) -> None:
    torch.manual_seed(0)
    M, N, K = size
    for left, right in itertools.product(("rows", "columns", "part"), repeat=2):
        a_MK, b_KN = with_strides(M, K, left, dtype), with_strides(K, N, right, dtype)
        expected_MN = (a_MK.double() @ b_KN.double()).to(dtype)
        torch.testing.assert_close(matmul(a_MK, b_KN), expected_MN, rtol=1e-4, atol=1e-3)


def test_the_sizes_go_through_our_kernel() -> None:
    assert sum(min(M, N) >= NARROW and K > 384 for M, N, K in SIZES) > 1
