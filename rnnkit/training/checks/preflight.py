"""A configuration as a whole, before any data are read: what can be built by then is built once, to see that it can."""

import inspect
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from rnnkit.errors import Problems, UserError
from rnnkit.training.checks.foresight import check_model_memory
from rnnkit.training.configuration.construct import construct, locate


def check_parts(config: DictConfig, problems: Problems) -> None:
    """Note what is wrong with the model, the optimizer, the schedule and clipping."""
    with torch.random.fork_rng(devices=[]):  # the model of the run is to be drawn as if there had been no other
        problems.attempt(check_model, config)
        optimizer = problems.attempt(_build_optimizer, config)
        if optimizer is not None and config.get("schedule") is not None:
            problems.attempt(lambda: construct(config, "schedule")(optimizer, 100))
        problems.attempt(construct, config, "clipping")


def check_model(config: DictConfig) -> None:
    """Build the model without memory for its weights, and refuse one whose weights would have none."""
    task, model = (locate(key, config[key]._target_) for key in ("task", "model"))
    wanted, uses = getattr(task, "kind", None), getattr(model, "tasks", None)
    # what is the user's may go with anything
    are_ours = all(made.__module__.startswith("rnnkit.") for made in (task, model))
    if are_ours and wanted is not None and uses is not None and wanted not in uses:
        got = f"{model.__name__}, which is for {' or '.join(uses)}"
        raise UserError("model", f"a model for {wanted}", got, fix=f"task={uses[0]}")
    built = _without_weights(config)
    if built is not None:
        check_model_memory(config, built, _without_weights)


def check_kind(config: DictConfig, data: Any) -> None:
    """Refuse data that are for another task."""
    wanted, there = getattr(locate("task", config.task._target_), "kind", None), getattr(data, "task", None)
    if None not in (wanted, there) and wanted != there:
        got = f"{type(data).__name__}, which is for {there}"
        raise UserError("data", f"data for {wanted}", got, fix=f"task={there}, beside data=...")


def _without_weights(config: DictConfig) -> nn.Module | None:
    """The model with weights that have a shape and no memory, or as it is if it cannot be built so; None: not yet."""
    try:
        with torch.device("meta"):
            return _build_model(config)
    except UserError:
        raise
    except Exception as error:  # an initializer that looks at numbers, say: what else is wrong is raised again
        if "overflow" in str(error):
            size, fix = "sizes whose product can be counted", "model.hidden_size=128"
            raise UserError("model", size, str(error), fix=fix) from error
        return _build_model(config)


def _build_model(config: DictConfig) -> nn.Module | None:
    """The model, with 2 for each size that only the data know; None where they must tell more than sizes."""
    parameters = inspect.signature(locate("model", config.model._target_)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    absent = [p for p in parameters if p.kind in named and p.name not in config.model]
    lacking = [p for p in absent if p.default is p.empty]
    if any(p.annotation not in (int, p.empty) for p in lacking):
        return None  # once the data are read, the constructor says what is wrong
    sizes = dict.fromkeys((p.name for p in lacking), 2)
    try:
        model: nn.Module = construct(config, "model", **sizes)
    except UserError as error:
        name = error.argument.removeprefix("model.")  # a size that the data give or not, by what they are
        if name not in {p.name for p in absent} - sizes.keys():
            raise
        model = construct(config, "model", **sizes, **{name: 2})
    return model


def _build_optimizer(config: DictConfig) -> Any:
    """The optimizer of a weight and a bias, with which it has taken a step."""
    trained = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    expected = "values that it takes"
    try:
        optimizer = construct(config, "optimizer")(trained)
        expected = "one that trains weights and biases by their gradients"
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        if type(optimizer).__module__.startswith("torch.optim."):  # one of the user's may need more than gradients
            optimizer.step()
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError("optimizer", expected, str(error).splitlines()[0], fix="optimizer=adamw") from error
    return optimizer
