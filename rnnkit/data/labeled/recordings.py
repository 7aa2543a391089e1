"""Recordings from folders, archives and single files."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths, files, read_bytes
from rnnkit.errors import UserError

OTHER = "files other than .wav, left out"
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz")


class Recording(NamedTuple):
    """A sound file: its path below the folder or archive, its mean over the channels [N], samples a second."""

    name: str
    wave: Tensor
    sample_rate: int


def recordings(paths: Paths, argument: str, notes: Findings | None = None) -> Iterator[Recording]:
    """The `.wav` files of folders and of `.tar`, `.tar.gz` and `.tar.xz` archives, in name order, or those named.

    What is left out, and recordings of several channels, which are averaged, are added to `notes`.

    Raises UserError where there are none, soundfile is not installed, an archive or a file is damaged, cut or empty.
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
                is_hidden = PurePosixPath(member.name).name.startswith(".")  # what macOS adds
                if is_hidden or not member.isfile() or not member.name.lower().endswith(".wav"):
                    notes.add(OTHER, f"{name}: {member.name}")
                else:
                    if member.size > len(content):  # a sparse one, which holds nothing but promises
                        raise tarfile.ReadError(f"{member.name} would have {member.size:,} bytes")
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name, file.read()
    except tarfile.TarError as error:
        raise UserError(
            argument, "a whole tar archive", f"{name}: {error}", fix="packing or fetching it again"
        ) from error


def _decoded(name: str, content: bytes, argument: str, notes: Findings) -> Recording:
    soundfile = _soundfile()
    try:
        samples_NC, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        fix = f"the file recorded again, or left out of {argument}"
        raise UserError(argument, "sound files", f"{name}: {error}", fix=fix) from error
    if (size := _missing_bytes(content)) > 0:
        got = f"{name}, which lacks {size:,} of the bytes that its header says"
        raise UserError(argument, "whole sound files", got, fix=f"the file fetched again, or left out of {argument}")
    if not len(samples_NC):
        raise UserError(argument, "sound", f"{name}, which has no samples", fix=f"the file left out of {argument}")
    if not np.isfinite(samples_NC).all():
        got = f"{name}, which has samples that are no numbers"
        raise UserError(argument, "sound", got, fix=f"the file left out of {argument}")
    channels = samples_NC.shape[1]
    if channels > 1:
        notes.add(f"recordings with {channels} channels, averaged", name)
    return Recording(name, torch.from_numpy(samples_NC).mean(1), int(sample_rate))


def _missing_bytes(content: bytes) -> int:
    """How many bytes a RIFF file has been cut by; 0 where its writer did not know the size, as in a pipe."""
    said = int.from_bytes(content[4:8], "little")
    is_known = content[:4] == b"RIFF" and 0 < said < 0x7FFFFFFF
    return said + 8 - len(content) if is_known else 0


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise UserError("data", "the package soundfile", "none", fix="pip install 'rnnkit[audio]'") from error
    return soundfile
