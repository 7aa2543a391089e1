"""Checks of the optimizer and schedule states in a checkpoint against those of new ones after one step."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from rnnkit.training.configuration.construct import construct
from rnnkit.training.run.templates import check_alike

ASSUMED_STEPS = 100
"""The number of steps for building the schedule: the structure of its state does not depend on it."""

NEW = {"time_used"}
"""Entries of schedule states that checkpoints of the first version lack."""


def check_training_state(optimizers: Any, schedules: Any, config: DictConfig, model: nn.Module) -> None:
    """Check that a checkpoint has the states of the configured optimizer and schedule.

    They are compared with those of new ones that take a step on parameters without memory. For an optimizer that cannot
    do that, or is not from torch, only the parameter groups are compared.

    Raises:
        ValueError: naming the place that differs.
    """
    parameters = [torch.empty_like(p, device="meta").requires_grad_(p.requires_grad) for p in model.parameters()]
    optimizer = construct(config, "optimizer")(parameters)
    entry = construct(config, "schedule")(optimizer, ASSUMED_STEPS) if config.get("schedule") is not None else None
    groups = optimizer.state_dict()["param_groups"]
    has_stepped = _step(optimizer, parameters)
    if not isinstance(optimizers, list) or len(optimizers) != 1:
        raise ValueError("optimizer_states is not a list of one")
    found = optimizers[0]
    if not isinstance(found, dict) or not {"state", "param_groups"} <= found.keys():
        raise ValueError("optimizer_states[0] has no state or no param_groups")
    _check_groups(found["param_groups"], groups)
    if has_stepped:
        _check_state(found["state"], optimizer.state_dict()["state"])
    elif type(optimizer).__module__.startswith("torch.optim."):
        _check_shapes(found["state"], parameters)
    _check_schedule(schedules, entry)


def _step(optimizer: Any, parameters: list[torch.Tensor]) -> bool:
    """Whether the optimizer could take a step."""
    if not type(optimizer).__module__.startswith("torch.optim."):
        return False
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["fused"] = None if group.get("fused") is None else False  # fused kernels need memory
    try:
        optimizer.step()
    except Exception:  # an optimizer that reads values
        return False
    return True


def _check_groups(found: Any, expected: list[dict[str, Any]]) -> None:
    place = "optimizer_states[0].param_groups"
    check_alike(found, expected, place)
    for index, (group, own) in enumerate(zip(found, expected, strict=True)):
        for name, value in own.items():
            if (name == "params" or isinstance(value, bool | str | None)) and group[name] != value:
                raise ValueError(f"{place}[{index}].{name} is {group[name]!r} instead of {value!r}"[:200])
        if not group.get("lr", 0.0) >= 0:
            raise ValueError(f"{place}[{index}].lr is {group['lr']}, which is negative")


def _check_state(found: Any, expected: dict[Any, Any]) -> None:
    """Check the states; a parameter without a state has had no gradient yet."""
    place = "optimizer_states[0].state"
    if not isinstance(found, dict):
        raise ValueError(f"{place} is not a mapping")
    for number, state in found.items():
        if number not in expected:
            raise ValueError(f"{place} has an unknown {number!r}"[:200])
        check_alike(state, expected[number], f"{place}[{number}]")


def _check_shapes(found: Any, parameters: list[torch.Tensor]) -> None:
    """Check that each tensor of a state can be broadcast to its parameter."""
    place = "optimizer_states[0].state"
    if not isinstance(found, dict):
        raise ValueError(f"{place} is not a mapping")
    for number, state in found.items():
        if not isinstance(number, int) or not 0 <= number < len(parameters) or not isinstance(state, dict):
            raise ValueError(f"{place} has an unknown {number!r}"[:200])
        shape = parameters[number].shape
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() and not _fits(value.shape, shape):
                raise ValueError(f"{place}[{number}].{name} is of shape {tuple(value.shape)} beside {tuple(shape)}")


def _fits(shape: torch.Size, parameter: torch.Size) -> bool:
    return len(shape) == len(parameter) and all(own in (1, other) for own, other in zip(shape, parameter, strict=True))


def _check_schedule(found: Any, entry: Any) -> None:
    scheduler = entry["scheduler"] if isinstance(entry, dict) else entry
    expected = [] if scheduler is None else [dict(scheduler.state_dict())]
    if expected and isinstance(found, list) and found and isinstance(found[0], dict):
        for name in NEW - found[0].keys():
            expected[0].pop(name, None)
    check_alike(found, expected, "lr_schedulers")
