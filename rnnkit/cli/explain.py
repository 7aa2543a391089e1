"""The `rnnkit explain` command."""

import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.configuration import as_user_error, check_choices, config_folder, groups
from rnnkit.cli.foreign import checked_compositions
from rnnkit.cli.quiet import quiet
from rnnkit.cli.quoted import quoted
from rnnkit.cli.replaced import options_of_typed_classes
from rnnkit.errors import UserError
from rnnkit.renamed import renewed_overrides


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "explain",
        "Show the engine that `rnnkit train` would choose for each layer, and the reasons against faster engines. "
        "The command does not train and writes no files.",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="overrides as for rnnkit train, such as model/cell=gru"
    )
    parser.add_argument("--config-dir", metavar="FOLDER", help="a folder with your own configuration files")
    given = parser.parse_intermixed_args(arguments)  # options may come between overrides, as for rnnkit train
    quiet()
    config = _composed(given.overrides, given.config_dir)
    from rnnkit.cli.checking import check

    check(config, given.overrides)
    print("\n".join(_lines(config)))
    return 0


def _composed(overrides: list[str], folder: str | None) -> Any:
    """The configuration that `rnnkit train` would use."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if folder is not None and not Path(folder).is_dir():
        raise UserError("--config-dir", "a folder with configuration files", f"'{folder}'", fix="an existing folder")
    overrides = renewed_overrides(quoted(overrides), groups()["data"])
    check_choices(overrides)
    own = [] if folder is None else [f"hydra.searchpath=[file://{Path(folder).resolve()}]"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"), checked_compositions():
        try:
            # this command does not run anything and needs no run folder
            return compose("train", [*own, "run_dir=runs/explained", *options_of_typed_classes(overrides)])
        except UserError:
            raise
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise as_user_error(error, overrides) from error


def _lines(config: Any) -> Iterator[str]:
    """The printed lines: the window, then each layer with its engine and the reasons against faster engines."""
    import torch

    from rnnkit.cells import state_leaves
    from rnnkit.engines import ENGINES, explain
    from rnnkit.training.checks.diagnosis import cell_names
    from rnnkit.training.configuration.construct import construct

    # Lightning resolves the precision and the device.
    trainer = construct(config, "trainer", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    precision, device = trainer.precision_plugin, trainer.strategy.root_device
    data = construct(config, "data")
    windows = "lanes" in config.data
    task = None if windows else _task(config, data).to(device)
    model = precision.convert_module(_model(config, data).to(device) if task is None else task.model)
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    where = f"{precision.precision} on {device}{threads}"
    layers: dict[str, Any] = {name: cell for cell, name in cell_names(model).items()}
    if not layers:
        raise UserError("model", "a model that contains a cell", type(model).__name__, fix="model=language_model")
    if task is None:
        lanes, steps = config.data.lanes // trainer.world_size, config.data.bptt_steps
        scans = {cell: _window(cell, lanes, steps, device) for cell in layers.values()}
        yield f"{type(model).__name__} on windows of {lanes} lanes x {steps} steps, {where}"
    else:
        batch = next(iter(data.train_dataloader()))
        with precision.forward_context():
            scans = _scans(task, batch)
        yield f"{type(model).__name__} on the first training batch, {batch.num_valid_steps:,} steps, {where}"
    width = max(len(name) for name in layers)
    for name, cell in layers.items():
        if cell not in scans:
            yield f"{name:<{width}}  {_described(cell)}: not run by this batch"
            continue
        x, options = scans[cell]
        # A warning would repeat the printed lines.
        with precision.forward_context(), warnings.catch_warnings(action="ignore"):
            found = explain(cell, x, **options)
        B, T = state_leaves(x)[0].shape[:2]
        over = "" if windows else f" on {B} x {T}"
        yield f"{name:<{width}}  {_described(cell)}{over}: {found.engine}"
        for faster in takewhile(found.engine.__ne__, ENGINES):
            yield f"{'':<{width}}    not {faster}: {found.ruled_out[faster]}"


def _task(config: Any, data: Any) -> Any:
    """The untrained task, for data that must be read first."""
    from omegaconf import open_dict

    from rnnkit.training.run.build import build_task

    data.setup("fit")
    with open_dict(config):
        config.model.update(data.model_kwargs)
        config.task.update(data.task_kwargs)
    return build_task(config)


def _window(cell: Any, lanes: int, steps: int, device: Any) -> tuple[Any, dict[str, Any]]:
    """The input of a full window, in the form that `_scans` returns."""
    import torch

    dtype = next((parameter.dtype for parameter in cell.parameters()), torch.get_default_dtype())
    return torch.zeros(lanes, steps, cell.input_size, dtype=dtype, device=device, requires_grad=True), {}


def _scans(task: Any, batch: Any) -> dict[Any, tuple[Any, dict[str, Any]]]:
    """For each cell, `x` and the options of its last `scan` call in a training step."""
    import torch
    from lightning.fabric.utilities import move_data_to_device

    from rnnkit.cells import map_state
    from rnnkit.engines import observe

    found: dict[Any, tuple[Any, dict[str, Any]]] = {}

    def learned(leaf: Any) -> Any:
        return leaf.detach().clone().requires_grad_(leaf.is_floating_point())

    def note(event: Any) -> None:
        (context,) = map_state(learned, (event.context,))
        found[event.cell] = (
            map_state(learned, event.x),
            {"context": context, "lengths": event.lengths, "reverse": event.reverse},
        )

    batch = move_data_to_device(batch, next(task.model.parameters()).device)
    with torch.no_grad(), observe(note):
        task.training_step(batch, 0)
    return found


def _described(cell: Any) -> str:
    """A cell with its sizes and its wrappers, as text."""
    from rnnkit.cells import Wrapper

    inner = _described(cell.cell) if isinstance(cell, Wrapper) else f"{cell.input_size}, {cell.output_size}"
    return f"{type(cell).__name__}({inner})"


def _model(config: Any, data: Any) -> Any:
    """The untrained model. The data are read only if a recurrent layer depends on their sizes.

    Some arguments of the model's constructor, such as `vocabulary_size`, come from the data. The model is built twice
    with two different placeholders. If the recurrent layers have equal sizes both times, they do not depend on the
    data.
    """
    from rnnkit.training.checks.diagnosis import cell_names
    from rnnkit.training.configuration.construct import construct, required

    try:
        unknown = required(config, "model")
    except (TypeError, ValueError):  # construct reports the error of the target
        unknown = []
    if not unknown:
        return construct(config, "model")
    models = [construct(config, "model", **dict.fromkeys(unknown, size)) for size in (2, 3)]
    sizes = [[parameter.shape for cell in cell_names(model) for parameter in cell.parameters()] for model in models]
    if sizes[0] == sizes[1]:
        return models[0]
    data.setup("fit")
    return construct(config, "model", **data.model_kwargs)
