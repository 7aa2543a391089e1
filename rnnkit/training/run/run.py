"""A run folder: its files, and restoring the trained model.

config.yaml          the resolved configuration, with sizes that depend on the data
command.txt          the exact command
vocabulary.json, data.json   written by the data module: what it learned from the training split
checkpoints/          best.ckpt and its weights as best.safetensors; last.ckpt and, later, before_last.ckpt
events.out.tfevents.*, metrics.csv, summary.json
"""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnnkit.errors import UserError
from rnnkit.files import replacing
from rnnkit.notices import notice
from rnnkit.strict_json import dumps
from rnnkit.tasks import Task
from rnnkit.training.configuration.construct import construct
from rnnkit.training.configuration.schema import check_built
from rnnkit.training.configuration.target_checks import check_targets
from rnnkit.training.run import storage
from rnnkit.training.run.build import build_task, without_clipping
from rnnkit.training.run.folder import check_files, read_config
from rnnkit.training.run.model_size import check_fits
from rnnkit.training.run.provenance import check_agreement, check_format, check_learned, check_weights


@dataclass(frozen=True)
class Run:
    """The folder of one run.

    >>> Run.open("runs/nowhere")
    Traceback (most recent call last):
    rnnkit.errors.UserError: run: expected the folder of a run; got 'runs/nowhere', which does not exist. Try: ...
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Return the run in an existing folder; raise UserError if there is none."""
        run = cls(Path(folder))
        if not run.config_file.is_file():
            missing = "which does not exist" if not run.folder.exists() else "which holds no config.yaml"
            raise UserError("run", "the folder of a run", f"'{folder}', {missing}", fix=_newest(run.folder))
        check_files(run.folder, written=False)
        return run

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def vocabulary_file(self) -> Path:
        return self.folder / "vocabulary.json"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def summary_file(self) -> Path:
        return self.folder / "summary.json"

    def checkpoint_file(self, name: str) -> Path:
        return self.folder / "checkpoints" / f"{name}.ckpt"

    def start(self, config: DictConfig) -> None:
        """Write the configuration and the command."""
        with replacing(self.config_file) as part:
            part.write_text(OmegaConf.to_yaml(config, resolve=True))
        with (self.folder / "command.txt").open("a") as file:
            print(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]), file=file)

    def config(self) -> DictConfig:
        """The configuration of the run; raises UserError if it is damaged or names code that is not allowed."""
        config = self.written_config()
        check_targets(config)
        return config

    def written_config(self) -> DictConfig:
        """The configuration before `check_targets`: nothing may be built from it yet."""
        return read_config(self.config_file)

    def summarize(self, metrics: dict[str, Any]) -> None:
        """Write summary.json, with null for numbers that are not finite."""
        with replacing(self.summary_file) as part:
            part.write_text(dumps(metrics, indent=2) + "\n")

    def summarized_step(self) -> int | None:
        """Return the last step recorded in summary.json; None if the file is missing or incomplete."""
        try:
            return int(json.loads(self.summary_file.read_text())["steps"])
        except (OSError, ValueError, KeyError):
            return None

    def checkpoint(self, name: str = "best") -> dict[str, Any]:
        """Return the content of a checkpoint, read without running any code from it."""
        path = self.checkpoint_file(name)
        if not path.is_file():
            there = self._others(path)
            fix = f"--checkpoint {there[0]}" if there else f"rnnkit train run_dir={self.folder}-again"
            got = f"none in '{path.parent}'" if not there else f"only {', '.join(there)} in '{path.parent}'"
            raise UserError("run", f"the checkpoint {name}.ckpt", got, fix=fix)
        try:
            return storage.read(path)
        except (OSError, storage.DamagedFileError) as error:
            others = self._others(path)
            fix = f"--checkpoint {others[0]}" if others else "another run folder"
            got = f"'{path}', damaged ({error})"
            raise UserError("run", "an undamaged checkpoint", got, fix=fix) from error

    def _others(self, path: Path) -> list[str]:
        """Return the other checkpoints, the newest first."""
        files = [file for file in path.parent.glob("*.ckpt") if file != path]
        return [file.stem for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)]

    def newest(self) -> tuple[Path, dict[str, Any]]:
        """Return the file to resume from and its content: last.ckpt or, if that is damaged, the one before it."""
        name = storage.LAST
        try:
            found = self.checkpoint(name)
        except UserError as error:
            if not self.checkpoint_file(storage.BEFORE_LAST).exists():
                raise
            name = storage.BEFORE_LAST
            notice(f"{error.got}: resuming from {name}.ckpt")
            found = self.checkpoint(name)
        check_format(found, self.checkpoint_file(name))
        return self.checkpoint_file(name), found

    def data(self, config: DictConfig | None = None) -> Any:
        """Return the data module with what it learned in training; no data are read yet."""
        config = self.config() if config is None else config
        check_built(config, ["data"])
        data = construct(config, "data")
        data.load(self.folder)
        self._check_tokenizer(data, config)
        check_agreement(data, config, self.folder)
        return data

    def _check_tokenizer(self, data: Any, config: DictConfig) -> None:
        """Raise UserError where the stored tokenizer of a text is not the one that config.yaml names."""
        found = getattr(data, "tokenizer", None)
        if found is None or not self.vocabulary_file.exists():
            return
        is_own = config.data.get("tokenizer") is not None  # whose level need not be that of data.level
        level = None if is_own else config.data.get("level")
        for key, written, stored in (
            ("data.level", level, found.level),
            ("model.vocabulary_size", config.model.get("vocabulary_size"), len(found)),
        ):
            if written not in (None, stored):
                got = f"'{self.vocabulary_file}', where {key} is {stored} instead of {written}"
                raise UserError(
                    "run", "the vocabulary.json of config.yaml", got, fix="an undamaged copy of the run folder"
                )

    def task(self, checkpoint: str = "best") -> Task:
        """Return the trained task in eval mode, on the CPU. It has no optimizer, and none is imported.

        Raises:
            UserError: if the checkpoint, config.yaml and what the data learned do not belong together.
        """
        config = self.config()
        check_built(config, ["task", "model"])
        found, path = self.checkpoint(checkpoint), self.checkpoint_file(checkpoint)
        check_format(found, path)
        check_learned(found, self.folder)
        weights = {"state_dict": without_clipping(found["state_dict"])}
        check_fits(lambda: build_task(config), weights, path)
        task = build_task(config)
        check_weights(task.state_dict(), weights, path)
        task.load_state_dict(weights["state_dict"])
        return task.eval()


def _newest(folder: Path) -> str:
    """Return the command for the newest run in a folder, which may be the one that the user meant."""
    configs = [*folder.glob("**/config.yaml"), *Path("runs").glob("**/config.yaml")]
    if not configs:
        return "rnnkit train"
    return str(max(configs, key=lambda file: file.stat().st_mtime).parent)
