"""Cylinder-bell-funnel: generated series of three shapes in noise."""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.series import SeriesLabelData
from rnnkit.errors import UserError
from rnnkit.ranges import Seed

STEPS = 128
SHAPES = ("cylinder", "bell", "funnel")


class CylinderBellFunnel(SeriesLabelData):
    """Series of the benchmark of Saito 1994 (see `cylinder_bell_funnel`), in equal numbers per class. Needs no file.

    Args:
        train_size: number of training series.
        valid_size: number of validation series.
        test_size: number of test series.
        draw: seed of the generated series.
        others: see `SeriesLabelData`. With `path` or `train`, files are read instead.

    Raises:
        UserError: a split is too small to have one series of each shape.

    >>> data = CylinderBellFunnel(train_size=30, valid_size=9, test_size=9)
    >>> data.setup()
    >>> data.task_kwargs
    {'classes': ['bell', 'cylinder', 'funnel'], 'counts': [10, 10, 10]}
    >>> next(iter(data.train_dataloader())).inputs.shape
    torch.Size([30, 128, 1])
    """

    def __init__(
        self,
        *,
        train_size: Annotated[int, Ge(3)] = 600,
        valid_size: Annotated[int, Ge(3)] = 300,
        test_size: Annotated[int, Ge(3)] = 900,
        draw: Seed = 0,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.draws = {"train": train_size, "valid": valid_size, "test": test_size}
        self.draw = draw
        for name, size in self.draws.items():
            if not isinstance(size, int) or size < len(SHAPES):
                raise UserError(f"data.{name}_size", "3 or more", str(size), fix=f"data.{name}_size=300")

    def own_splits(self) -> dict[str, list[Labeled]]:
        generator = torch.Generator().manual_seed(self.draw)
        splits = {}
        for name, size in self.draws.items():
            shape_N = torch.arange(size) % len(SHAPES)
            x_NT = cylinder_bell_funnel(shape_N, generator).numpy()
            splits[name] = [
                Labeled(x_T[:, None], SHAPES[shape], n, f"{name} series {n}")
                for n, (x_T, shape) in enumerate(zip(x_NT, shape_N.tolist(), strict=True))
            ]
        return splits


def cylinder_bell_funnel(shape_N: Tensor, generator: torch.Generator) -> Tensor:
    r"""Draw a series of 128 steps [N, T] for each shape: 0 cylinder, 1 bell, 2 funnel (Saito 1994).

    .. math::
        c(t) &= (6 + \eta) \, \chi_{[a,b]}(t) + \epsilon(t) \\
        b(t) &= (6 + \eta) \, \chi_{[a,b]}(t) \, (t - a) / (b - a) + \epsilon(t) \\
        f(t) &= (6 + \eta) \, \chi_{[a,b]}(t) \, (b - t) / (b - a) + \epsilon(t)

    for t from 1 to 128. :math:`\eta` and :math:`\epsilon(t)` are standard normal. The integers a and b - a are uniform
    on 16 to 32 and on 32 to 96. :math:`\chi` is 1 from a to b and 0 elsewhere.

    >>> cylinder_bell_funnel(torch.tensor([0, 1, 2]), torch.Generator().manual_seed(0)).shape
    torch.Size([3, 128])
    """
    N = len(shape_N)
    a_N1 = torch.randint(16, 33, (N, 1), generator=generator)
    b_N1 = a_N1 + torch.randint(32, 97, (N, 1), generator=generator)
    height_N1 = 6 + torch.randn(N, 1, generator=generator)
    noise_NT = torch.randn(N, STEPS, generator=generator)
    t_T = torch.arange(1, STEPS + 1)
    inside_NT = (t_T >= a_N1) & (t_T <= b_N1)
    rising_NT = (t_T - a_N1) / (b_N1 - a_N1)
    form_NT = torch.stack([torch.ones_like(rising_NT), rising_NT, 1 - rising_NT])[shape_N, torch.arange(N)]
    return height_N1 * inside_NT * form_NT + noise_NT
