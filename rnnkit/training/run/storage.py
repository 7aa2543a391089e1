"""Checkpoint files: written whole or not at all, with a checksum inside, the last two of them kept."""

import errno
import hashlib
import io
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.files import replacing

LAST, BEFORE_LAST, BEST = "last", "before_last", "best"
_LABEL = b"rnnkit sha256 "
_COMMENT = len(_LABEL) + 64
_LENGTH = struct.Struct("<H")
_END = 22
"""A zip archive, which a torch file is, ends with a record of so many bytes, the last of them the length of a comment,
and the comment."""


class DamagedFileError(Exception):
    """A checkpoint file that is not what was written."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """How Lightning writes and reads the checkpoints of a run.

    `last.ckpt` is replaced in one step once its successor is on the disk, and stays as `before_last.ckpt`. Beside
    `best.ckpt` its weights lie as `best.safetensors`, for programs that have no rnnkit.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        try:
            write(checkpoint, path, keep=path.with_stem(BEFORE_LAST) if path.stem == LAST else None)
            if path.stem == BEST:
                weights, twins = _without_twins(checkpoint["state_dict"])
                with replacing(path.with_suffix(".safetensors")) as part:
                    save_file(weights, part, metadata=twins)
        except OSError as error:
            room = "a disk with room for checkpoints" if error.errno == errno.ENOSPC else "a folder to write to"
            raise UserError(
                "run_dir",
                room,
                f"{error.strerror} while writing {path}; the checkpoints before it are whole",
                fix=f"once there is: rnnkit resume {path.parents[1]}",
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read(Path(path))


def write(checkpoint: Mapping[str, Any], path: Path, *, keep: Path | None = None) -> None:
    """Write a checkpoint; what was in its place is there until the new file is on the disk, and then at `keep`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write({"step": 3}, Path(folder, "last.ckpt"))
    ...     read(Path(folder, "last.ckpt"))
    {'step': 3}
    """
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    content = buffer.getbuffer()
    digest = hashlib.sha256(content).hexdigest().encode()
    with replacing(path) as part:
        with part.open("wb") as file:
            file.write(content[: -_LENGTH.size])
            file.write(_LENGTH.pack(_COMMENT) + _LABEL + digest)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            # a second name for the old file, so that at no moment there is none
            with replacing(keep) as second:
                os.link(path, second)
    _sync_folder(path.parent)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, read as data: nothing in it can run code.

    Raises DamagedFileError for a file that is cut short or was changed, OSError for one that cannot be read.
    """
    content = bytearray(path.read_bytes())
    comment = bytes(content[-_COMMENT:])
    if comment.startswith(_LABEL):
        del content[-_COMMENT:]
        if content[-_LENGTH.size :] != _LENGTH.pack(_COMMENT):
            raise DamagedFileError("its content is not what was written")
        content[-_LENGTH.size :] = _LENGTH.pack(0)
        if hashlib.sha256(content).hexdigest().encode() != comment[len(_LABEL) :]:
            raise DamagedFileError("its content is not what was written")
    elif content[-_END:][:4] != b"PK\5\6" or content[-_LENGTH.size :] != b"\0\0":
        # what torch itself writes, and 0.1 wrote, ends in a record without a comment
        raise DamagedFileError("it is cut short or no checkpoint")
    _check_stored(content)
    # torch's own messages advise to load the file with weights_only=False, which would run what is in it: not quoted
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        named = f"{code[1]}, which is code" if code else "something else than tensors and plain values"
        raise DamagedFileError(f"it holds what is no data: {named}") from None
    except Exception as error:
        raise DamagedFileError(f"it is no checkpoint ({type(error).__name__})") from None


def _check_stored(content: bytearray) -> None:
    """Refuse an archive that unpacks to more than it is; torch packs nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DamagedFileError(f"it is no checkpoint ({type(error).__name__})") from None
    if size > len(content):
        raise DamagedFileError("it unpacks to more than its size")


def _without_twins(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, and the other names of those that are shared, which the format cannot hold twice."""
    first: dict[tuple[int, torch.Size], str] = {}
    kept: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and place in first:
            names[name] = first[place]
        else:
            first[place] = name
            kept[name] = tensor.contiguous()
    return kept, names


def _sync_folder(folder: Path) -> None:
    """Puts the new name on the disk too; where folders cannot be opened for that, the system does it in time."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
