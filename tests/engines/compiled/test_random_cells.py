"""Cells composed at random of the operations that the compiler knows."""

from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

ONE = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "normed": lambda a: (a - a.mean(1, keepdim=True)) * torch.rsqrt(a.var(1, keepdim=True) + 0.5),
    "softmax": lambda a: torch.softmax(a, 1),
    "softplus": torch.nn.functional.softplus,
    "halves": lambda a: torch.cat([a[:, 3:], a[:, :3].tanh()], 1),
    "steps": lambda a: torch.cat([a[:, ::2], a[:, 1::2] / 2], 1),
    "transposed": lambda a: a.view(-1, 2, 3).transpose(1, 2).reshape(-1, 6),
    "total": lambda a: a + a.sum(1, keepdim=True) / 6,
    "largest": lambda a: a - a.amax(1, keepdim=True),
    "written": lambda a: torch.slice_scatter(a, a[:, 2:4].exp().clamp(max=2), 1, 2, 4),
}
TWO = {
    "sum": torch.add,
    "product": lambda a, b: a * b.tanh(),
    "where": lambda a, b: torch.where(a > b, a, b / 2),
    "mixed": lambda a, b: torch.lerp(a, b, torch.sigmoid(a)),
    "scores": lambda a, b: a * (a * b.tanh()).sum(1, keepdim=True).tanh(),
    "outer": lambda a, b: (a.tanh().unsqueeze(2) * b.unsqueeze(1)).mean(2),
}
LEAVES = ["x", "h", "Ux", "Uh", "b", "s"]


def expressions(depth: int) -> Any:
    if depth == 0:
        return st.sampled_from(LEAVES)
    inner = expressions(depth - 1)
    return st.one_of(
        st.tuples(st.sampled_from(sorted(ONE)), inner),
        st.tuples(st.sampled_from(sorted(TWO)), inner, expressions(0)),
        st.tuples(st.just("weigh"), inner),
    )


def evaluated(tree: Any, c: Any, x: Tensor, h: Tensor) -> Tensor:
    if isinstance(tree, str):
        leaves = {"x": x.repeat(1, 2), "h": h, "Ux": x @ c.w.T, "Uh": h @ c.u.T}
        return leaves[tree] if tree in leaves else getattr(c, tree).expand_as(h)
    name, *parts = tree
    values = [evaluated(part, c, x, h) for part in parts]
    if name == "weigh":
        return values[0] @ c.u
    result: Tensor = (ONE[name] if name in ONE else TWO[name])(*values)
    return result


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(new=expressions(3), output=expressions(1), padded=st.booleans())
def test_any_composition_agrees_with_the_loop(new: Any, output: Any, padded: bool, written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        after = torch.tanh(evaluated(new, c, x, h) + h / 2)
        return evaluated(output, c, x, after), after

    agree(written(step), padded=padded)
