"""Pointwise operations as C++ expressions."""

import math
from collections.abc import Callable
from typing import Any

import torch

from rnnkit.engines.compiled.trace.graphs import Untraceable

REGISTER = {
    torch.float32: "float",
    torch.bfloat16: "float",
    torch.float64: "double",
    torch.bool: "bool",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
}
"""The C++ type in which a value of each dtype is computed."""

EXPENSIVE = {
    "exp",
    "log",
    "log1p",
    "expm1",
    "tanh",
    "sigmoid",
    "sin",
    "cos",
    "tan",
    "erf",
    "pow",
    "sqrt",
    "rsqrt",
    "atan2",
}


def register_type(dtype: torch.dtype) -> str:
    """Return the C++ type of a value; raise `Untraceable` for a dtype that is not supported."""
    if dtype not in REGISTER:
        raise Untraceable(f"it computes in {dtype}, which the compiler does not support")
    return REGISTER[dtype]


def memory_type(dtype: torch.dtype) -> str:
    """Return the C++ type in which a value is stored between steps; raise `Untraceable` likewise."""
    return "bf16" if dtype == torch.bfloat16 else register_type(dtype)


def literal(number: float | bool, kind: str) -> str:
    """Return a Python number in a C++ type.

    >>> literal(1, "float"), literal(float("-inf"), "double"), literal(True, "bool")
    ('1.0f', '-(double)INFINITY', 'true')
    """
    if kind == "bool":
        return "true" if number else "false"
    if kind.startswith("int"):
        return f"({kind}){int(number)}"
    if math.isnan(number):
        return f"({kind})NAN"
    if math.isinf(number):
        return f"{'-' if number < 0 else ''}({kind})INFINITY"
    return repr(float(number)) + ("f" if kind == "float" else "")


def pointwise(name: str, arguments: list[str], options: dict[str, Any]) -> str | None:
    """Return the C++ expression of a pointwise operation; None for other operations."""
    if name in ("add", "sub") and options.keys() <= {"alpha"}:
        sign = "+" if name == "add" else "-"
        left, right = arguments
        if options.get("alpha", 1) != 1:
            right = f"({options['alpha']} * {right})"
        return f"{left} {sign} {right}"
    if name == "div" and options.get("rounding_mode") is not None:
        rounding = {"floor": "std::floor", "trunc": "std::trunc"}[options["rounding_mode"]]
        return f"{rounding}((double){arguments[0]} / {arguments[1]})"
    if options:
        return None
    if name in INFIX and len(arguments) == 2:
        return f"{arguments[0]} {INFIX[name]} {arguments[1]}"
    if name in CALLS:
        return f"{CALLS[name]}({', '.join(arguments)})"
    if name in FORMS:
        return FORMS[name](*arguments)
    return None


INFIX = {
    "mul": "*", "div": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "logical_and": "&&", "logical_or": "||", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
CALLS = {
    "exp": "exp_", "tanh": "tanh_", "sigmoid": "sigmoid_", "relu": "relu_", "sign": "sign_", "maximum": "larger_",
    "minimum": "smaller_", "log": "log_", "log1p": "log1p_", "expm1": "std::expm1", "sqrt": "std::sqrt",
    "sin": "std::sin", "cos": "std::cos", "tan": "std::tan", "erf": "std::erf", "abs": "std::fabs",
    "floor": "std::floor", "ceil": "std::ceil", "trunc": "std::trunc", "round": "std::rint", "isnan": "std::isnan",
    "isinf": "std::isinf", "atan2": "std::atan2", "atan": "std::atan", "asin": "std::asin", "acos": "std::acos",
    "sinh": "std::sinh", "cosh": "std::cosh",
}  # fmt: skip
FORMS: dict[str, Callable[..., str]] = {
    "neg": lambda x: f"-({x})",
    "logical_not": lambda x: f"!{x}",
    "bitwise_not": lambda x: f"!{x}",
    "square": lambda x: f"{x} * {x}",
    "reciprocal": lambda x: f"1 / {x}",
    "rsqrt": lambda x: f"1 / std::sqrt({x})",
    "where": lambda condition, x, y: f"{condition} ? {x} : {y}",
    "clamp_min": lambda x, low: f"larger_({x}, {low})",
    "clamp_max": lambda x, high: f"smaller_({x}, {high})",
    "pow": lambda x, y: _power(x, y),
}


def _power(x: str, y: str) -> str:
    exponent = y.rstrip("f")
    simple = {"2.0": f"{x} * {x}", "1.0": x, "0.5": f"std::sqrt({x})", "3.0": f"{x} * {x} * {x}", "-1.0": f"1 / {x}"}
    return simple.get(exponent, f"std::pow({x}, {y})")
