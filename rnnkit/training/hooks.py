"""The hooks of a training step that callbacks leave empty, which need not be called."""

from collections.abc import Iterable

import lightning as L

OF_A_STEP = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
)


def skip_empty_hooks(callbacks: Iterable[L.Callback]) -> None:
    """Let Lightning pass over the hooks of a step that are the empty ones of `Callback`.

    A dozen callbacks have seventy of them, which are looked up, named and timed in every step: a quarter of a
    millisecond, where small models take a few. Lightning calls what can be called, and None it passes over.
    """
    for callback in callbacks:
        for name in OF_A_STEP:
            is_empty = getattr(type(callback), name) is getattr(L.Callback, name)
            if is_empty and name not in vars(callback):  # where LambdaCallback has its own
                setattr(callback, name, None)
