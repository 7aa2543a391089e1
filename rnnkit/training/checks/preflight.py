"""A check of a whole configuration before any data are read, by building the parts that need no data."""

from typing import Annotated, Any, get_args, get_origin

import torch
from omegaconf import DictConfig
from torch import nn

from rnnkit.errors import Problems, UserError
from rnnkit.training.checks.memory import check_model_memory
from rnnkit.training.configuration.construct import construct, locate
from rnnkit.training.configuration.signatures import signature_of
from rnnkit.training.configuration.values import MISSING


def check_parts(config: DictConfig, problems: Problems) -> None:
    """Collect the problems of the model, the optimizer, the schedule and clipping."""
    with torch.random.fork_rng(devices=[]):  # so that the weights of the run do not depend on this check
        problems.attempt(check_model, config)
        optimizer = problems.attempt(_build_optimizer, config)
        if optimizer is not None and config.get("schedule") is not None:
            problems.attempt(lambda: construct(config, "schedule")(optimizer, 100))
        problems.attempt(construct, config, "clipping")


def check_model(config: DictConfig) -> None:
    """Build the model without memory for its weights, and check that it suits the task and fits into memory.

    Raises:
        UserError: if it does not.
    """
    task, model = (locate(key, config[key]._target_) for key in ("task", "model"))
    wanted, uses = getattr(task, "kind", None), getattr(model, "tasks", None)
    # classes of a user's own may fit anything
    are_ours = all(made.__module__.startswith("rnnkit.") for made in (task, model))
    if are_ours and wanted is not None and uses is not None and wanted not in uses:
        got = f"{model.__name__}, which is for {' or '.join(uses)}"
        raise UserError("model", f"a model for {wanted}", got, fix=f"task={uses[0]}")
    built = _without_weights(config)
    if built is not None:
        check_model_memory(config, built, _without_weights)


def check_kind(config: DictConfig, data: Any) -> None:
    """Check that the data are for this task.

    Raises:
        UserError: if they are for another one.
    """
    wanted, there = getattr(locate("task", config.task._target_), "kind", None), getattr(data, "task", None)
    if None not in (wanted, there) and wanted != there:
        got = f"{type(data).__name__}, which is for {there}"
        raise UserError("data", f"data for {wanted}", got, fix=f"task={there}, beside data=...")


def _without_weights(config: DictConfig) -> nn.Module | None:
    """Return the model with weights on the device "meta" if possible; None if it cannot be built without data."""
    try:
        with torch.device("meta"):
            return _build_model(config)
    except UserError:
        raise
    except Exception as error:  # such as an initializer that reads values; other errors are raised again below
        if "overflow" in str(error):
            size, fix = "sizes whose product does not overflow", "model.hidden_size=128"
            raise UserError("model", size, str(error), fix=fix) from error
        return _build_model(config)


def _build_model(config: DictConfig) -> nn.Module | None:
    """Return the model, with 2 for each size that only the data know; None if the data know more than sizes."""
    parameters = signature_of(locate("model", config.model._target_)).parameters
    absent = {name: one for name, one in parameters.items() if name not in config.model}
    lacking = {name: one.hint for name, one in absent.items() if one.default is MISSING}
    if not all(_is_size(hint) for hint in lacking.values()):
        return None  # the constructor reports errors once the data are read
    sizes = dict.fromkeys(lacking, 2)
    try:
        model: nn.Module = construct(config, "model", **sizes)
    except UserError as error:
        name = error.argument.removeprefix("model.")  # an optional size that only some data provide
        if name not in absent.keys() - sizes.keys():
            raise
        model = construct(config, "model", **sizes, **{name: 2})
    return model


def _is_size(hint: Any) -> bool:
    """Whether an annotation is an integer, possibly in a range, or unknown."""
    return hint in (int, Any) or (get_origin(hint) is Annotated and get_args(hint)[0] is int)


def _build_optimizer(config: DictConfig) -> Any:
    """Return the optimizer of a weight and a bias, after one step."""
    trained = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    expected = "values that it takes"
    try:
        optimizer = construct(config, "optimizer")(trained)
        expected = "one that trains weights and biases by their gradients"
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        if type(optimizer).__module__.startswith("torch.optim."):  # a user's own may need more than gradients
            optimizer.step()
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError("optimizer", expected, str(error).splitlines()[0], fix="optimizer=adamw") from error
    return optimizer
