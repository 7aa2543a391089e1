"""Comparison of a value from a checkpoint with one that the run has just created: same structure, maybe other
values.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rnnkit.structure import LARGEST


def check_alike(value: Any, template: Any, place: str) -> None:
    """Check that a value has the structure of a template.

    Mappings must have the same keys, lists the same length, tensors the same shape and kind of number. Counts must not
    be negative, and floats must not be NaN, and infinite only if that of the template is. None must stay None.

    Raises:
        ValueError: naming the first place that differs.

    >>> check_alike({"step": -1}, {"step": 0}, "loop")
    Traceback (most recent call last):
    ValueError: loop.step is -1, which is negative
    """
    if isinstance(template, Mapping):
        _check_mapping(value, template, place)
    elif isinstance(template, Tensor):
        check_tensor(value, template, place)
    elif isinstance(template, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(template):
            raise ValueError(f"{place} is not a list of {len(template)}")
        for index, pair in enumerate(zip(value, template, strict=True)):
            check_alike(*pair, f"{place}[{index}]")
    elif isinstance(template, bool | str):
        if type(value) is not type(template):
            raise ValueError(f"{place} is {_shown(value)}, which is not like {template!r}")
    elif isinstance(template, int | float):
        _check_number(value, template, place)
    elif template is None and not isinstance(value, bool | int | float | str | None):
        raise ValueError(f"{place} is {_shown(value)}, which is not a plain value")


def check_tensor(value: Any, template: Tensor, place: str) -> None:
    """Check that a value is a tensor of the same shape and kind of number that stores all its elements."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{place} is {_shown(value)}, which is not a tensor")
    if not is_stored(value):
        raise ValueError(f"{place} does not store all its elements")
    if value.shape != template.shape:
        raise ValueError(f"{place} is of shape {tuple(value.shape)} instead of {tuple(template.shape)}")
    if not same_kind(value, template):
        raise ValueError(f"{place} is of {value.dtype} instead of {template.dtype}")


def is_stored(value: Tensor) -> bool:
    """Whether a tensor has memory for each of its elements, as every tensor that a run writes has.

    >>> import torch
    >>> is_stored(torch.zeros(2, 3)), is_stored(torch.zeros(1).expand(10**11))
    (True, False)
    """
    if value.is_meta or str(value.layout) != "torch.strided" or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def same_kind(value: Tensor, template: Tensor) -> bool:
    """Whether the elements are both floating, both complex, or of the same type."""
    if template.is_floating_point() or template.is_complex():
        return (value.is_floating_point(), value.is_complex()) == (
            template.is_floating_point(),
            template.is_complex(),
        )
    return value.dtype == template.dtype


def _check_mapping(value: Any, template: Mapping[Any, Any], place: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {_shown(value)}, which is not a mapping")
    for name in template:
        if name not in value:
            raise ValueError(f"{place} has no {name}")
    for name in value:
        if name not in template:
            raise ValueError(f"{place} has an unknown {_shown(name)}")
    for name, inner in template.items():
        check_alike(value[name], inner, f"{place}.{name}")


def _check_number(value: Any, template: float, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int if isinstance(template, int) else int | float):
        raise ValueError(f"{place} is {_shown(value)}, which is not like {template!r}")
    if not (abs(value) <= LARGEST or (math.isinf(value) and math.isinf(template))):
        raise ValueError(f"{place} is {_shown(value)}, which is not finite or too large")
    if isinstance(template, int) and value < min(0, template):
        raise ValueError(f"{place} is {value}, which is negative")


def _shown(value: Any) -> str:
    shown = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
