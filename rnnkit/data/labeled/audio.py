"""The data module for labeled recordings."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import torch
from annotated_types import Interval

from rnnkit.data.io.sources import Paths
from rnnkit.data.labeled.base import LabeledData
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.log_mel import log_mel
from rnnkit.data.labeled.recordings import Recording, recordings
from rnnkit.data.labeled.standardize import LearnedChannels, Standardize
from rnnkit.errors import UserError
from rnnkit.ranges import Positive, PositiveInt
from rnnkit.structure import check


class Learned(LearnedChannels):
    """The learned properties of the inputs, as in the file."""

    sample_rate: PositiveInt


class AudioLabelData(LabeledData):
    r"""A data module for `.wav` files from folders or tar archives, labeled by their names.

    It needs soundfile (`rnnkit[audio]`). A recording is converted to log-mel energies (`log_mel`) when it is read. Each
    band is standardized over the training recordings. Channels are averaged.

    Patterns are regular expressions. They are searched in the name of a file or, if they contain a slash, in its path
    relative to the folder or archive. Their first group is the label or the group of the recording.

    Args:
        target_pattern: the pattern of the label or number.
        group_pattern: the pattern of the group, such as the speaker; see `LabeledData`.
        test_pattern: files of `path` whose names match are the test split, instead of `test_fraction`.
        sample_rate: the required sample rate; None uses that of the first training file.
        bands: see `log_mel`.
        window_ms: see `log_mel`.
        hop_ms: see `log_mel`.
        center: whether to subtract from each band of a recording its mean. This removes the effect of microphone, room
            and distance (Atal 1974).
        others: see `LabeledData`.

    Raises:
        UserError: a pattern is invalid or does not match a name, a recording has another sample rate, or `recordings`
            raises.
    """

    def __init__(
        self,
        *,
        target_pattern: str,
        group_pattern: str | None = None,
        test_pattern: str | None = None,
        sample_rate: PositiveInt | None = None,
        bands: PositiveInt = 40,
        window_ms: Annotated[float, Interval(gt=0, le=1000)] = 25.0,
        hop_ms: Positive = 10.0,
        center: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.patterns = {
            "target": _pattern("target_pattern", target_pattern, brackets=1),
            "group": _pattern("group_pattern", group_pattern, brackets=1),
            "test": _pattern("test_pattern", test_pattern, brackets=0),
        }
        for name, number in (("bands", bands), ("window_ms", window_ms), ("hop_ms", hop_ms)):
            if number <= 0:
                raise UserError(f"data.{name}", "a positive number", str(number), fix=f"no data.{name}")
        self.center = center
        self.sample_rate = sample_rate
        self.mel = {"bands": bands, "window_ms": window_ms, "hop_ms": hop_ms}
        self.standardize = Standardize()

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"input_size": self.standardize.width, "outputs": self.targets.outputs}

    def ruled(self, example: Labeled) -> str | None:
        pattern = self.patterns["test"]
        if pattern is not None and _search(pattern, str(example.id)):
            return "test"
        return super().ruled(example)

    def read_files(self, part: str, paths: Paths, argument: str) -> list[Labeled]:
        return [
            Labeled(
                self._features(recording, argument),
                self._found("target", recording.name),
                recording.name,
                recording.name,
                self._found("group", recording.name),
            )
            for recording in recordings(paths, argument, self.notes)
        ]

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        if path is None:
            raise UserError("--input", "a .wav file, a folder or an archive", "standard input", fix="--input folder")
        for recording in recordings(path, "--input", self.notes):
            yield self.ready(Labeled(self._features(recording, "--input"), None, recording.name, recording.name))
        self.notes.print()

    def is_empty(self, example: Labeled) -> bool:
        return not len(example.inputs)

    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        return {**self.standardize.learn(train), "sample_rate": self.sample_rate}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        check(learned, Learned, "inputs")
        self.standardize.check_learned(learned)
        if self.sample_rate not in (None, learned["sample_rate"]):
            got = learned["sample_rate"]
            raise ValueError(f"inputs.sample_rate is {got}, but data.sample_rate={self.sample_rate}")

    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        self.standardize.restore(learned)
        self.sample_rate = learned["sample_rate"]

    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        return self.standardize.encode(example)

    def _features(self, recording: Recording, argument: str) -> Any:
        self.sample_rate = self.sample_rate or recording.sample_rate
        if recording.sample_rate != self.sample_rate:
            raise UserError(
                argument,
                f"{self.sample_rate} samples per second, as in data.sample_rate or the first file",
                f"{recording.sample_rate} in {recording.name}",
                fix=f"ffmpeg -i {recording.name} -ar {self.sample_rate} resampled.wav",
            )
        if len(recording.wave) < round(self.sample_rate * self.mel["window_ms"] / 1000):
            self.notes.add("recordings shorter than data.window_ms, padded with silence", recording.name)
        try:
            y_TI = log_mel(recording.wave, recording.sample_rate, **self.mel)  # type: ignore[arg-type]
        except ValueError as error:
            expected, fix = "fewer or wider bands, or longer windows", "data.bands=20 data.window_ms=25 data.hop_ms=10"
            raise UserError("data.bands", expected, f"{recording.name}: {error}", fix=fix) from error
        return (y_TI - y_TI.mean(0) if self.center else y_TI).numpy()

    def _found(self, role: str, name: str) -> str | None:
        pattern = self.patterns[role]
        if pattern is None:
            return None
        match = _search(pattern, name)
        if match is None:
            fix = f"{_typed(f'{role}_pattern')}, or the file removed"
            raise UserError(f"data.{role}_pattern", f"'{pattern.pattern}' in every name", f"'{name}'", fix=fix)
        return match[1]


def _search(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    return pattern.search(name if "/" in pattern.pattern else PurePosixPath(name).name)


def _typed(argument: str) -> str:
    """An example of the argument, quoted for the shell and for Hydra."""
    return f"\"data.{argument}='^([^_]+)_'\""


def _pattern(argument: str, pattern: str | None, *, brackets: int) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    fix = _typed(argument)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.{argument}", "a regular expression", f"{pattern!r}: {error}", fix=fix) from error
    if compiled.groups < brackets:
        raise UserError(f"data.{argument}", "one group in brackets", repr(pattern), fix=fix)
    return compiled
