"""Options of a class that an override of `_target_` replaces, as in `model.cell._target_=my_lab.Cell`."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from rnnkit.errors import UserError
from rnnkit.notices import notice


def options_of_typed_classes(overrides: Sequence[str]) -> list[str]:
    """The overrides, with `++` before the options of a replacing class. Hydra knows only those of the replaced class.

    >>> options_of_typed_classes(["model.cell._target_=my_lab.Cell", "model.cell.leak=0.5", "seed=2"])
    ['model.cell._target_=my_lab.Cell', '++model.cell.leak=0.5', 'seed=2']
    """
    keys = [item.partition("=")[0] for item in overrides]
    nodes = {key.lstrip("+").removesuffix("._target_") for key in keys if key.endswith("._target_")}
    is_option = [key.rpartition(".")[0] in nodes and not key.endswith("._target_") for key in keys]
    return [
        f"++{item}" if is_new and item[0] not in "+~-" else item
        for item, is_new in zip(overrides, is_option, strict=True)
    ]


def drop_options_of_replaced_classes(config: DictConfig, overrides: Sequence[str]) -> None:
    """Remove and report the options that a class named on the command line does not accept.

    These options belong to the replaced class. Options given on the command line are kept; if the class does not
    accept them, a later check reports it. The classes are imported, so call this only after they are known to be
    allowed.
    """
    from rnnkit.training.configuration.construct import locate
    from rnnkit.training.configuration.signatures import signature_of

    typed = [item.partition("=")[0].lstrip("+") for item in overrides if not item.startswith("~")]
    for key in typed:
        node_key = key.removesuffix("._target_")
        node: Any = OmegaConf.select(config, node_key) if node_key != key else None
        if not isinstance(node, DictConfig):
            continue
        try:
            signature = signature_of(locate(node_key, node._target_))
        except UserError:  # the schema check reports it
            continue
        others = [
            str(name)
            for name in node
            if not str(name).startswith("_")
            and name not in signature.parameters
            and not any(f"{one}.".startswith(f"{node_key}.{name!s}.") for one in typed)
        ]
        if signature.is_open or not others:
            continue
        with open_dict(node):
            for name in others:
                del node[name]
        notice(f"{node_key}: options of the replaced class dropped, {node._target_} does not take {', '.join(others)}")
