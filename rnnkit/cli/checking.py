"""Checks of a composed configuration, shared by all commands that take one."""

from collections.abc import Sequence
from copy import deepcopy

from omegaconf import DictConfig, OmegaConf, open_dict

from rnnkit.cli.foreign import resolve
from rnnkit.cli.replaced import drop_options_of_replaced_classes
from rnnkit.cli.typed import typed_values
from rnnkit.renamed import grouped


def check(config: DictConfig, overrides: Sequence[str]) -> None:
    """Check the classes and values of a configuration and resolve its references, in place.

    Classes are checked first, because a class must not be imported before it is known to be allowed. Values are
    checked before references are resolved, so that a message names the key that the user sets.

    Args:
        config: the composed configuration.
        overrides: the `KEY=VALUE` arguments of the command line.

    Raises:
        UserError: a class is not allowed, or a value does not fit its key.
    """
    from rnnkit.training.configuration.monitored import settled_mode
    from rnnkit.training.configuration.schema import check_configuration
    from rnnkit.training.configuration.target_checks import check_targets

    with open_dict(config):  # a user's own file may have keys of an earlier version
        if OmegaConf.is_dict(config.get("data")):
            config.data = grouped(OmegaConf.to_container(config.data))  # type: ignore[arg-type]
    resolved = deepcopy(config)
    resolve(resolved)
    check_targets(resolved, typed_values(overrides))
    drop_options_of_replaced_classes(config, overrides)
    check_configuration(config)
    with open_dict(config):
        config.monitor_mode = settled_mode(config)  # other keys refer to it
    resolve(config)
