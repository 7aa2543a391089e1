"""Checks of the configuration as a whole, before any data are read: parts that can be built already are built once."""

import contextlib
import inspect
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from torch import nn

from rnnkit.errors import Problems, UserError
from rnnkit.training.checks.foresight import check_weight_memory
from rnnkit.training.configuration.construct import construct


def check_parts(config: DictConfig, problems: Problems) -> None:
    """Record the problems of the model, the optimizer, the schedule and clipping."""
    with torch.random.fork_rng(devices=[]):  # building a model here must not change the random numbers of the run
        problems.attempt(check_model, config)
        optimizer = problems.attempt(_build_optimizer, config)
        if optimizer is not None and config.get("schedule") is not None:
            problems.attempt(lambda: construct(config, "schedule")(optimizer, 100))
        problems.attempt(construct, config, "clipping")


def check_model(config: DictConfig) -> None:
    """Build the model without memory for its weights, and check that the weights fit into memory."""
    _check_use(config)
    model = _without_weights(config)
    if model is not None:
        check_weight_memory(config, model, _without_weights)


def check_kind(config: DictConfig, data: Any) -> None:
    """Check that the data are for the task."""
    try:
        wanted = hydra.utils.get_class(config.task._target_).kind  # type: ignore[attr-defined]
        there = data.task
    except Exception:  # a user's class without a kind, or one that cannot be imported: construct reports it
        return
    if wanted != there:
        got = f"{type(data).__name__}, which is for {there}"
        raise UserError("data", f"data for {wanted}", got, fix=f"task={there}, beside data=...")


def _check_use(config: DictConfig) -> None:
    """Check that a model of rnnkit fits a task of rnnkit; a user's class may be combined with anything."""
    try:
        task, model = (hydra.utils.get_class(config[key]._target_) for key in ("task", "model"))
        wanted, uses = task.kind, model.tasks  # type: ignore[attr-defined]
    except Exception:  # as above
        return
    if wanted not in uses and all(made.__module__.startswith("rnnkit.") for made in (task, model)):
        got = f"{model.__name__}, which is for {' or '.join(uses)}"
        raise UserError("model", f"a model for {wanted}", got, fix=f"task={uses[0]}")


def _without_weights(config: DictConfig) -> nn.Module | None:
    """Build the model on the device "meta", or on the CPU if that fails; None if its sizes depend on the data."""
    try:
        with torch.device("meta"):
            return _build_model(config)
    except UserError:
        raise
    except Exception as error:  # for example an initializer that reads numbers
        if "overflow" in str(error):
            size, fix = "sizes whose product can be counted", "model.hidden_size=128"
            raise UserError("model", size, str(error), fix=fix) from error
        return _build_model(config)


def _build_model(config: DictConfig) -> nn.Module | None:
    """Build the model, with 2 for each size that depends on the data; None if more than sizes depend on them."""
    stand_ins: dict[str, Any] = {}
    unset: list[inspect.Parameter] = []
    with contextlib.suppress(Exception):  # the constructor reports an invalid target
        parameters = inspect.signature(hydra.utils.get_object(config.model._target_)).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        unset = [p for p in parameters if p.kind in named and p.name not in config.model]
        lacking = [p for p in unset if p.default is p.empty]
        if any(p.annotation not in (int, p.empty) for p in lacking):
            return None  # once the data are read, the constructor reports errors
        stand_ins = dict.fromkeys((p.name for p in lacking), 2)
    try:
        model: nn.Module = construct(config, "model", **stand_ins)
    except UserError as error:
        name = error.argument.removeprefix("model.")  # a size that some data define and others do not
        if name not in {p.name for p in unset} - stand_ins.keys():
            raise
        model = construct(config, "model", **stand_ins, **{name: 2})
    return model


def _build_optimizer(config: DictConfig) -> Any:
    """Build the optimizer of a weight and a bias, and take a step with it."""
    trained = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    try:
        optimizer = construct(config, "optimizer")(trained)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _unfit(error, "values that it takes") from error
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    if type(optimizer).__module__.startswith("torch.optim."):  # a user's optimizer may need more than gradients
        try:
            optimizer.step()
        except (TypeError, ValueError, RuntimeError) as error:
            raise _unfit(error, "one that trains weights and biases by their gradients") from error
    return optimizer


def _unfit(error: Exception, expected: str) -> UserError:
    return UserError("optimizer", expected, str(error).splitlines()[0], fix="optimizer=adamw")
