"""Checkpoint files: written atomically, with a checksum inside; the previous one is kept."""

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
"""The size of the last record of a zip archive, which a torch file is. It ends with the length of a comment and the
comment."""


class DamagedFileError(Exception):
    """Raised for a checkpoint file that was changed or is incomplete."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's input and output of the checkpoints of a run.

    `last.ckpt` is replaced in one step when its successor is on the disk, and is kept as `before_last.ckpt`. The
    weights of `best.ckpt` are also saved as `best.safetensors`, for programs without rnnkit.
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
                f"{error.strerror} while writing {path}; the checkpoints before it are intact",
                fix=f"once there is one: rnnkit resume {path.parents[1]}",
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read(Path(path))


def write(checkpoint: Mapping[str, Any], path: Path, *, keep: Path | None = None) -> None:
    """Write a checkpoint; the old file stays until the new one is on the disk, and is then moved to `keep`.

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
            # a second name for the old file, so that there is a checkpoint at any time
            with replacing(keep) as second:
                os.link(path, second)
    _sync_folder(path.parent)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint as data: nothing in it can run code.

    Raises:
        DamagedFileError: if the file is truncated or was changed.
        OSError: if it cannot be read.
    """
    content = bytearray(path.read_bytes())
    comment = bytes(content[-_COMMENT:])
    if comment.startswith(_LABEL):
        del content[-_COMMENT:]
        if content[-_LENGTH.size :] != _LENGTH.pack(_COMMENT):
            raise DamagedFileError("its content does not match its checksum")
        content[-_LENGTH.size :] = _LENGTH.pack(0)
        if hashlib.sha256(content).hexdigest().encode() != comment[len(_LABEL) :]:
            raise DamagedFileError("its content does not match its checksum")
    elif content[-_END:][:4] != b"PK\5\6" or content[-_LENGTH.size :] != b"\0\0":
        # files by torch itself, and by version 0.1, end with a record without a comment
        raise DamagedFileError("it is truncated or not a checkpoint")
    _check_stored(content)
    # torch's messages are not quoted: they advise to load the file with weights_only=False, which would run its code
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        named = f"{code[1]}, which is code" if code else "an object other than tensors and plain values"
        raise DamagedFileError(f"it contains more than data: {named}") from None
    except Exception as error:
        raise DamagedFileError(f"it is not a checkpoint ({type(error).__name__})") from None


def _check_stored(content: bytearray) -> None:
    """Check that an archive does not unpack to more than its size; torch does not compress."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DamagedFileError(f"it is not a checkpoint ({type(error).__name__})") from None
    if size > len(content):
        raise DamagedFileError("it unpacks to more than its size")


def _without_twins(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return each tensor once, and the other names of shared tensors, which the format cannot store twice."""
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
    """Write the new name to the disk; if folders cannot be opened for that, the system does it later."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
