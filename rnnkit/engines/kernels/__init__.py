"""Kernels of the recurrence h_t = a_t h_{t-1} + b_t for each kind of machine; `linear_scan` chooses among them.

Each module has the same two functions. Shapes: b, h, g [B, T, H], a the same or [1, 1, H], h0 and last [B, H],
fresh [B, T]; real or complex, of one dtype.

* `forward(a, b, h0, fresh, reverse) -> h`: where `fresh` is true, the previous state is replaced by zero.
* `backward(a, h, h0, fresh, g, last, reverse) -> da, db, dh0`: g and last are the gradients of h and of its last step.
"""
