"""The `rnnkit resume` command."""

from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.configuration import groups, keys
from rnnkit.cli.quiet import quiet
from rnnkit.cli.quoted import quoted
from rnnkit.cli.suggestions import nearest_keys
from rnnkit.cli.typed import typed_values
from rnnkit.errors import UserError
from rnnkit.renamed import renewed_overrides

FIXED = ("model", "task", "optimizer", "averaging", "seed", "run_dir")
"""Keys that a resumed run cannot change: they are stored in last.ckpt or decide its layout or its file name."""


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("resume", "Resume a run from checkpoints/last.ckpt, in the same folder.")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, such as trainer.max_epochs=20")
    given = parser.parse(arguments)
    quiet()
    from rnnkit.cli.checking import check
    from rnnkit.cli.train import fit_and_report
    from rnnkit.training import Run
    from rnnkit.training.configuration.own_code import remember

    run = Run.open(given.run)
    config = run.written_config()
    overrides = renewed_overrides(quoted(given.overrides))
    for override in overrides:
        _apply(config, override)
    check(config, overrides)
    remember(typed_values(overrides))
    fit_and_report(config, run.folder, resume=True)
    return 0


def _apply(config: Any, override: str) -> None:
    """Change one existing key."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise UserError("overrides", "KEY=VALUE", override, fix="trainer.max_epochs=20") from error
    key = parsed.key_or_group
    if key in groups():
        raise UserError(
            key, "keys of the run's own configuration", f"{override}, another choice", fix="rnnkit train for a new run"
        )
    known = list(keys(OmegaConf.to_container(config)))  # type: ignore[arg-type]
    if key not in known:
        near = nearest_keys(key, known)
        got = f"'{key}', which the run does not have"
        fix = f"{near[0] if near else 'KEY'}={override.split('=', 1)[1]}"
        raise UserError(key, f"a key such as {', '.join(near)}", got, fix=fix)
    if key.split(".")[0] in FIXED:
        got = f"{override}, which the checkpoint holds"
        raise UserError(key, "a key that a resumed run can change", got, fix="rnnkit train, for a new run")
    OmegaConf.update(config, key, parsed.value())
