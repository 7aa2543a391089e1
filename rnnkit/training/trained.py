"""A trained run for scripts and commands: evaluation, prediction and generation."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from rnnkit.cells import Cell
from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.tasks.base import Capability
from rnnkit.training.run.run import Run

AHEAD = 50
"""The number of batches that are read before the first is predicted, to batch sequences of similar length."""
SPLITS = ("dataset", "path", "train", "valid", "test")
"""The keys of a data configuration that name the files."""


@dataclass(frozen=True)
class TrainedRun:
    """A trained run: `task` and its `model` in eval mode, `data` with what it learned, and the `config`.

    Data are read on demand; after `data.setup("test")`, `data.splits` has the splits.
    """

    folder: Path
    config: DictConfig
    task: Task
    data: Any

    @property
    def model(self) -> Any:
        """The trained model, an `nn.Module`."""
        return self.task.model

    def step(self) -> Cell[Any]:
        """Return one step of the model as a cell, for `rnnkit.Session` and `rnnkit.deploy.export`.

        Raises:
            UserError: if the model cannot read a sequence one step at a time.
        """
        if not callable(getattr(type(self.model), "step", None)):
            expected = "a model with a method step(), as language models, sequence models and taggers have"
            raise UserError("run", expected, type(self.model).__name__, fix=f"rnnkit predict {self.folder}")
        step: Cell[Any] = self.model.step()
        return step

    def require(self, capability: Capability) -> None:
        """Raise UserError, naming what the task can do, if the task does not have a capability."""
        if capability in self.task.capabilities:
            return
        expected = {
            "predict": "a run that predicts",
            "generate": "a language model",
            "stream": "a run on windows of a stream",
        }
        others: list[Capability] = ["predict", "generate"]
        command = next((name for name in others if name in self.task.capabilities), "evaluate")
        fix = f"rnnkit {command} {self.folder}"
        raise UserError("run", expected[capability], f"a run of {self.task.kind}", fix=fix)

    def split(self, name: str | None = None) -> str:
        """Read the data and return the name of a split, by default "test" if there is one, else "valid"."""
        self.data.setup("test")
        self.task.check_data(self.data)
        return name or ("test" if "test" in self.data.splits else "valid")

    def evaluate(self, split: str | None = None, **options: Any) -> dict[str, float]:
        """Return the task's metrics over a whole split.

        Args:
            split: the name of the split; see `split`.
            options: arguments of the data's `loader`, such as `lanes` for text.
        """
        return self.task.evaluate(self.data.loader(self.split(split), **options))

    def predict(
        self, source: str | Path | None, batch_size: int | None = None, ahead: int = AHEAD
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each example of a file with its prediction, in the order of the file; None for one without steps.

        Args:
            source: a file in the format of the training data, targets are optional; None is standard input.
            batch_size: the number of examples in a batch; by default the run's `data.eval_batch_size`.
            ahead: the number of batches that are read before the first is predicted.

        Raises:
            UserError: if the task does not predict.
        """
        self.require("predict")
        self.task.check_data(self.data)
        size = batch_size or self.data.eval_batch_size
        return self._predictions(None if source is None else Path(source), size, ahead)

    def _predictions(self, source: Path | None, size: int, ahead: int) -> Iterator[tuple[Any, Any]]:
        data, task = self.data, self.task
        examples = data.read_inputs(source)
        while part := list(islice(examples, size * ahead)):
            order = sorted(range(len(part)), key=lambda index: -data.length(part[index]))
            order = [index for index in order if data.length(part[index])]
            found: dict[int, Any] = {}
            for start in range(0, len(order), size):
                indices = order[start : start + size]
                batch = data.collate([part[i] for i in indices]).to(task.device)
                with torch.inference_mode():
                    found.update(zip(indices, task.predict(batch), strict=True))
            yield from ((example, found.get(index)) for index, example in enumerate(part))

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """Yield the text that continues a prompt, piece by piece; `options` are those of `tokens`."""
        (ids,), drawn = self.tokens([prompt], **options)
        show = self.data.tokenizer.decoder()
        for token in ids.tolist():
            show(token)
        return (show(int(ids_B[0])) for ids_B in drawn)

    def tokens(
        self, prompts: Sequence[str], *, length: int = 400, seed: int | None = None, **options: Any
    ) -> tuple[list[Tensor], Iterator[Tensor]]:
        """Return the ids of each prompt, and an iterator over the ids [B] that continue the prompts.

        Args:
            prompts: the prompts.
            length: the number of tokens to generate.
            seed: the same seed gives the same text; None draws a new one each time.
            options: `temperature`, `top_k` and `top_p`, see `rnnkit.tasks.generate`.

        Raises:
            UserError: if the task does not generate, or a prompt has tokens that are not in the vocabulary.
        """
        self.require("generate")
        tokenizer, device = self.data.tokenizer, self.task.device
        ids = [_encoded(tokenizer, prompt, self.folder) for prompt in prompts]
        generator = torch.Generator(device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        drawn = self.task.generate(  # type: ignore[operator]  # what can generate has it
            [torch.tensor(_read_first(tokenizer, prompt.tolist())) for prompt in ids],
            length=length,
            forbidden=[] if tokenizer.unknown is None else [tokenizer.unknown],
            generator=generator,
            **options,
        )
        return ids, drawn


def load(
    folder: str | Path, *, checkpoint: str = "best", device: str = "cpu", data: str | Path | None = None
) -> TrainedRun:
    """Load the trained run in a folder.

    Args:
        folder: the run folder.
        checkpoint: "best" or "last".
        device: the device of the model: cpu, cuda, cuda:1 or mps.
        data: another file that becomes the "test" split, in place of the run's own splits.

    Raises:
        UserError: if the folder has no such run, or this machine has no such device.
    """
    run = Run.open(folder)
    config = run.config()
    if data is not None:
        for key in SPLITS:
            config.data[key] = None
        config.data.test = str(data)
    place = _device(device)
    return TrainedRun(run.folder, config, run.task(checkpoint).to(place), run.data(config))


def _device(name: str) -> torch.device:
    there = ["cpu"]
    if torch.cuda.is_available():
        there += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if name not in there:
        expected = f"one of {', '.join(there)} on this machine"
        raise UserError("--device", expected, repr(name), fix="--device cpu")
    return torch.device(name)


def _encoded(tokenizer: Any, prompt: str, run: Path) -> Tensor:
    missing = tokenizer.missing(prompt)
    if missing:
        known, part = ("characters", r"(?s).") if tokenizer.level == "char" else ("words", r"\S+")
        rest = re.sub(part, lambda found: "" if found[0] in missing else found[0], prompt)
        raise UserError(
            "--prompt",
            f"{known} of the training text",
            f"{', '.join(repr(item) for item in missing[:5])}, which the model has never seen",
            fix=f"--prompt {shlex.quote(rest)}" if rest.strip() else f"rnnkit generate {shlex.quote(str(run))}",
        )
    ids: Tensor = tokenizer.encode(prompt)
    return ids


def _read_first(tokenizer: Any, prompt: list[int]) -> list[int]:
    """Return the ids that the model reads: the prompt after the end of a line, which is not printed.

    The model has seen few beginnings of texts, but many of lines. If its text has no lines, the most frequent token
    stands for an empty prompt.
    """
    if not tokenizer.missing("\n"):
        return [*tokenizer.encode("\n").tolist(), *prompt]
    return prompt or [next(token for token in range(len(tokenizer)) if token != tokenizer.unknown)]
