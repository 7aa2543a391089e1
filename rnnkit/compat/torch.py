"""The private names of torch that rnnkit uses, under names of our own:

>>> from rnnkit.compat.torch import own_parameters
>>> sorted(own_parameters(torch.nn.Linear(2, 3)))
['bias', 'weight']

A name is looked up when it is imported. If this torch does not have it, a slower replacement with the same results is
returned, with a warning (`_INSTEAD`). If there is no replacement, `UserError` names the releases that have it; cells
then run as a Python loop in place of the compiled engine.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from rnnkit.compat.lookup import TESTED, is_newer, look_up, missing
from rnnkit.errors import UserError

_NAMES = {
    # torch.func and forward-mode differentiation
    "are_transforms_active": "torch._C._are_functorch_transforms_active",
    "is_legacy_batchedtensor": "torch._C._functorch.is_legacy_batchedtensor",
    "has_any_global_hook": "torch.nn.modules.module._has_any_global_hook",
    "len_torch_function_stack": "torch._C._len_torch_function_stack",
    # tracing a step
    "FakeTensorMode": "torch._subclasses.fake_tensor.FakeTensorMode",
    "DataDependentOutputException": "torch._subclasses.fake_tensor.DataDependentOutputException",
    "DynamicOutputShapeException": "torch._subclasses.fake_tensor.DynamicOutputShapeException",
    "make_fx": "torch.fx.experimental.proxy_tensor.make_fx",
    "core_aten_decompositions": "torch._decomp.core_aten_decompositions",
    "get_decompositions": "torch._decomp.get_decompositions",
    "inductor_compile": "torch._inductor.compile",
    # nests of tensors
    "tree_flatten": "torch.utils._pytree.tree_flatten",
    "tree_leaves": "torch.utils._pytree.tree_leaves",
    "tree_map": "torch.utils._pytree.tree_map",
    "tree_unflatten": "torch.utils._pytree.tree_unflatten",
    # watching operations
    "TorchDispatchMode": "torch.utils._python_dispatch.TorchDispatchMode",
    "current_autograd_node": "torch._C._current_autograd_node",
    "next_sequence_number": "torch._C._autograd._get_sequence_nr",
    # many tensors in one call
    "foreach_copy_": "torch._foreach_copy_",
    "foreach_lerp_": "torch._foreach_lerp_",
    "foreach_mul_": "torch._foreach_mul_",
    # what the processor can do
    "has_onednn_bfloat16": "torch.ops.mkldnn._is_mkldnn_bf16_supported",
    "has_onednn_float16": "torch.ops.mkldnn._is_mkldnn_fp16_supported",
}
"""Public names, and where torch has them."""

_ATTRIBUTES: dict[str, tuple[Callable[[], object], str]] = {
    "own_parameters": (nn.Module, "Module._parameters"),
    "own_buffers": (nn.Module, "Module._buffers"),
    "own_modules": (nn.Module, "Module._modules"),
    "forward_hooks": (nn.Module, "Module._forward_hooks"),
    "forward_pre_hooks": (nn.Module, "Module._forward_pre_hooks"),
    "backward_hooks": (nn.Module, "Module._backward_hooks"),
    "backward_pre_hooks": (nn.Module, "Module._backward_pre_hooks"),
    "version_of": (lambda: Tensor, "Tensor._version"),
    "storage_key": (lambda: torch.UntypedStorage, "UntypedStorage._cdata"),
    "schema_of": (lambda: torch.ops.aten.add.Tensor, "OpOverload._schema"),
    "sequence_number": (lambda: torch.autograd.graph.Node, "Node._sequence_nr"),
}
"""Names of functions that return an attribute, an object that has it in every mode of torch, and its path."""


if hasattr(forward_ad, "_current_level"):

    def is_forward_mode() -> bool:
        """Whether forward-mode differentiation is active."""
        return forward_ad._current_level >= 0
else:

    def is_forward_mode() -> bool:
        """Whether forward-mode differentiation is active; this torch cannot say, so True."""
        return True


def _lerp_(tensors: Sequence[Tensor], ends: Sequence[Tensor], weight: float) -> None:
    for tensor, end in zip(tensors, ends, strict=True):
        tensor.lerp_(end, weight)


def _mul_(tensors: Sequence[Tensor], factor: Tensor | float) -> None:
    for tensor in tensors:
        tensor.mul_(factor)


def _copy_(tensors: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    for tensor, source in zip(tensors, sources, strict=True):
        tensor.copy_(source)


_INSTEAD: dict[str, tuple[Any, str]] = {
    "are_transforms_active": (lambda: True, "every cell runs as a Python loop"),
    "is_legacy_batchedtensor": (lambda _: True, "backward passes of compiled cells run operation by operation"),
    "has_any_global_hook": (lambda: True, "every cell runs as a Python loop"),
    "len_torch_function_stack": (lambda: 1, "calls of compiled cells start more slowly"),
    "current_autograd_node": (lambda: None, "deterministic=true names no layers of the backward pass"),
    "next_sequence_number": (lambda: 0, "deterministic=true names no layers of the backward pass"),
    "sequence_number": (lambda _: lambda: -1, "deterministic=true names no layers of the backward pass"),
    "foreach_copy_": (_copy_, "tensors are copied one by one"),
    "foreach_lerp_": (_lerp_, "weights are averaged one by one"),
    "foreach_mul_": (_mul_, "gradients are scaled one by one"),
    "has_onednn_bfloat16": (lambda: False, "LSTM cells under autocast do not run on torch's kernel on a CPU"),
    "has_onednn_float16": (lambda: False, "LSTM cells under autocast do not run on torch's kernel on a CPU"),
}
"""Slower replacements, and their costs."""


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        example, path = _ATTRIBUTES[name]
        attribute = path.rpartition(".")[2]
        if hasattr(example(), attribute):
            return _reader(attribute)
    elif name in _NAMES:
        path = _NAMES[name]
        try:
            return look_up("torch", path)
        except UserError:
            if name not in _INSTEAD:
                raise
    else:
        raise AttributeError(f"module 'rnnkit.compat.torch' has no attribute {name!r}")
    if name not in _INSTEAD:
        raise missing("torch", path)
    instead, cost = _INSTEAD[name]
    warnings.warn(f"torch {torch.__version__} has no {path}: {cost}", stacklevel=2)
    return instead


def _reader(attribute: str) -> Callable[[Any], Any]:
    """Return a function that torch.compile can trace, unlike `operator.attrgetter`."""

    def read(owner: Any) -> Any:
        return getattr(owner, attribute)

    return read


if is_newer(torch.__version__, "torch"):
    tested = " and ".join(TESTED["torch"])
    warnings.warn(
        f"torch {torch.__version__} is newer than the releases rnnkit was tested with ({tested})", stacklevel=2
    )
