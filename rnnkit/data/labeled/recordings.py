"""Sound files from folders, archives and single files."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.packed import check_unpacked
from rnnkit.data.io.sources import Paths, files, read_bytes
from rnnkit.errors import UserError

OTHER = "files other than .wav, skipped"
MOST_SAMPLES = 1_000_000
"""Samples per second of a recording, at most. Microphones for ultrasound record up to 500,000."""
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz")


class Recording(NamedTuple):
    """A sound file: its path relative to the folder or archive, its mean over the channels [N], and its sample rate."""

    name: str
    wave: Tensor
    sample_rate: int


def recordings(paths: Paths, argument: str, notes: Findings | None = None) -> Iterator[Recording]:
    """Yield the `.wav` files of folders and of `.tar`, `.tar.gz` and `.tar.xz` archives, sorted by name.

    Args:
        paths: files, folders or archives.
        argument: the argument that error messages name.
        notes: counts skipped files, and recordings of several channels, which are averaged.

    Raises:
        UserError: there are no files, soundfile is not installed, or an archive or file is damaged, truncated or empty.
    """
    found = False
    notes = Findings() if notes is None else notes
    for file in files(paths, argument, "recordings.tar.gz"):
        if file.path.name.endswith(ARCHIVES):
            contents = _members(read_bytes(file.path, argument), file.name, argument, notes)
        elif file.named or file.path.suffix.lower() == ".wav":
            contents = iter([(file.name, read_bytes(file.path, argument))])
        else:
            notes.add(OTHER, str(file.path))
            continue
        for name, content in contents:
            found = True
            yield _decoded(name, content, argument, notes)
    if not found:
        raise UserError(
            argument, "wav files, a folder or an archive of them", f"none in {paths}", fix=f"{argument}=folder"
        )


def _members(content: bytes, name: str, argument: str, notes: Findings) -> Iterator[tuple[str, bytes]]:
    if name.endswith(".tgz"):
        fix = f"mv {name} {name.removesuffix('.tgz')}.tar.gz"
        raise UserError(argument, "an archive whose name ends in .tar.gz", name, fix=fix)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            members = [member for member in archive if not member.isdir()]
            for member in sorted(members, key=lambda member: member.name):
                is_hidden = PurePosixPath(member.name).name.startswith(".")  # added by macOS
                if is_hidden or not member.isfile() or not member.name.lower().endswith(".wav"):
                    notes.add(OTHER, f"{name}: {member.name}")
                else:
                    if member.size > len(content):  # a sparse file, whose size is not backed by data
                        raise tarfile.ReadError(f"{member.name} would have {member.size:,} bytes")
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name, file.read()
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            argument, "a complete tar archive", f"{name}: {error}", fix="creating or downloading it again"
        ) from error


def _decoded(name: str, content: bytes, argument: str, notes: Findings) -> Recording:
    soundfile = _soundfile()
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            sample_rate = sound.samplerate
            check_unpacked(4 * sound.frames * sound.channels, len(content), name, argument)
            samples_NC = sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        fix = f"another copy of the file, or {argument} without it"
        raise UserError(argument, "sound files", f"{name}: {error.error_string}", fix=fix) from error
    if (size := _missing_bytes(content)) > 0:
        got = f"{name}, which lacks {size:,} of the bytes that its header declares"
        raise UserError(
            argument, "complete sound files", got, fix=f"another copy of the file, or {argument} without it"
        )
    if not 1 <= sample_rate <= MOST_SAMPLES:
        expected, got = f"at most {MOST_SAMPLES:,} samples per second", f"{sample_rate:,} in {name}"
        raise UserError(argument, expected, got, fix=f"another copy of the file, or {argument} without it")
    if not len(samples_NC):
        raise UserError(argument, "sound", f"{name}, which has no samples", fix=f"{argument} without the file")
    if not np.isfinite(samples_NC).all():
        got = f"{name}, which has samples that are not numbers"
        raise UserError(argument, "sound", got, fix=f"{argument} without the file")
    channels = samples_NC.shape[1]
    if channels > 1:
        notes.add(f"recordings with {channels} channels, averaged", name)
    return Recording(name, torch.from_numpy(samples_NC).mean(1), int(sample_rate))


def _missing_bytes(content: bytes) -> int:
    """The number of missing bytes of a RIFF file; 0 if its writer did not know the size, as in a pipe."""
    said = int.from_bytes(content[4:8], "little")
    is_known = content[:4] == b"RIFF" and 0 < said < 0x7FFFFFFF
    return said + 8 - len(content) if is_known else 0


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise UserError("data", "the package soundfile", "none", fix="pip install 'rnnkit[audio]'") from error
    return soundfile
