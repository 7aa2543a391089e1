"""Removal of empty callback hooks from the training step."""

from collections.abc import Iterable

import lightning as L

OF_A_STEP = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
)


def skip_empty_hooks(callbacks: Iterable[L.Callback]) -> None:
    """Make Lightning skip the hooks of a training step that a callback inherits unchanged from `Callback`.

    A dozen callbacks have seventy such hooks. Lightning looks up, names and times each of them in every step, which
    takes a quarter of a millisecond; a step of a small model takes a few. Lightning skips a hook that is None.
    """
    for callback in callbacks:
        for name in OF_A_STEP:
            is_empty = getattr(type(callback), name) is getattr(L.Callback, name)
            if is_empty and name not in vars(callback):  # LambdaCallback sets hooks on the instance
                setattr(callback, name, None)
