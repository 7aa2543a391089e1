"""What a trace takes for pointwise, the back end in C++ can spell."""

from rnnkit.engines.compiled.cpu import expressions
from rnnkit.engines.compiled.trace.pointwise import POINTWISE


def test_every_pointwise_operation_has_an_expression() -> None:
    apart = {"add", "sub", "clamp", "_to_copy"}  # written by rules of their own
    assert {*expressions.INFIX, *expressions.CALLS, *expressions.FORMS, *apart} == POINTWISE
