"""Names of pointwise operations."""

POINTWISE = {
    "_to_copy", "abs", "acos", "add", "asin", "atan", "atan2", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "ceil", "clamp", "clamp_max", "clamp_min", "cos", "cosh", "div", "eq", "erf", "exp", "expm1",
    "floor", "ge", "gt", "isinf", "isnan", "le", "log", "log1p", "logical_and", "logical_not", "logical_or", "lt",
    "maximum", "minimum", "mul", "ne", "neg", "pow", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign",
    "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh", "trunc", "where",
}  # fmt: skip
"""ATen names; each back end implements all of them."""
