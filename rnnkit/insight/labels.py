"""Short names of recurrent layers, for logs and pictures."""

from torch import nn

from rnnkit.layers.rnn import RNN


def layer_labels(model: nn.Module, names: list[str]) -> dict[str, str]:
    """Return a label for each cell, given their paths in a model: `layer1`, `layer1_backward`, or the path.

    >>> from rnnkit.cells import GRUCell
    >>> layer_labels(RNN(GRUCell, 3, 4, bidirectional=True), ["cells.0", "cells.1"])
    {'cells.0': 'layer1', 'cells.1': 'layer1_backward'}
    """
    stacks = {name: module for name, module in model.named_modules() if isinstance(module, RNN)}
    used = {name.rpartition("cells.")[0].rstrip(".") for name in names}
    labels = {}
    for name in names:
        stack, _, place = name.rpartition("cells.")
        rnn = stacks.get(stack.rstrip("."))
        if rnn is None or not place.isdigit():
            labels[name] = name
            continue
        layer, direction = divmod(int(place), 2) if rnn.bidirectional else (int(place), 0)
        prefix = stack if len(used) > 1 else ""
        labels[name] = f"{prefix}layer{layer + 1}{'_backward' if direction else ''}"
    return labels
