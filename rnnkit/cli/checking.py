"""What every command that is given a configuration does before it acts on it."""

from collections.abc import Sequence
from copy import deepcopy

from omegaconf import DictConfig, open_dict

from rnnkit.cli.foreign import resolve
from rnnkit.cli.replaced import drop_options_of_replaced_classes
from rnnkit.cli.typed import typed_values


def check(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse what may not run and what does not fit, and put values in the place of references.

    Classes come first: nothing is imported before it is known to be allowed. Values are checked while references to
    other keys still stand there, so that a message names the key that the user sets. Then no value can change any more.

    Raises UserError.
    """
    from rnnkit.training.configuration.monitored import settled_mode
    from rnnkit.training.configuration.schema import check_configuration
    from rnnkit.training.configuration.targets import check_targets

    resolved = deepcopy(config)
    resolve(resolved)
    check_targets(resolved, typed_values(overrides))
    drop_options_of_replaced_classes(config, overrides)
    check_configuration(config)
    with open_dict(config):
        config.monitor_mode = settled_mode(config)  # to which other keys refer
    resolve(config)
