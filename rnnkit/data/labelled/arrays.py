"""Series from NumPy's .npz files."""

import io
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.labelled.labelled import Labelled
from rnnkit.data.packed import check_unpacked
from rnnkit.errors import UserError


def read_npz(content: bytes, name: str, *, targets: bool, argument: str) -> list[Labelled]:
    """The series of an `.npz` file.

    Its arrays: `x` [N, T, I] or [N, T] with NaN for missing values; `lengths` [N], if not every series has T steps;
    `y`, labels or numbers [N] or numbers [N, T] for a curve; `groups` [N], if wanted. Objects are refused, because they
    could only be loaded by running code that the file brings along.

    Raises UserError for a damaged file, arrays that are missing or do not fit each other, and objects.

    >>> file = io.BytesIO()
    >>> np.savez(file, x=np.zeros((2, 5)), lengths=[5, 3], y=["a", "b"])
    >>> [(len(series.inputs), series.target) for series in
    ...     read_npz(file.getvalue(), "x.npz", targets=True, argument="data.path")]
    [(5, 'a'), (3, 'b')]
    """
    arrays = _load(content, name, argument)
    if "x" not in arrays or (targets and "y" not in arrays):
        need = "x and y" if targets else "x"
        got = f"{', '.join(arrays) or 'none'} in {name}"
        raise UserError(argument, f"arrays {need}", got, fix="np.savez(file, x=values, y=targets)")
    x = arrays["x"]
    x_NTI = x[..., None] if x.ndim == 2 else x
    if x_NTI.ndim != 3 or x.dtype.kind not in "fiub" or 0 in x.shape:
        got = f"{x.dtype} of shape {x.shape} in {name}"
        raise UserError(argument, "x of numbers, [N, T, I] or [N, T]", got, fix="np.savez(file, x=values, y=targets)")
    N, T, _ = x_NTI.shape
    if np.isinf(x_NTI).any():
        series = int(np.isinf(x_NTI).any((1, 2)).argmax())
        raise UserError(
            argument, "finite values", f"infinity in series {series} of {name}", fix="NaN where none is known"
        )
    for key in arrays.keys() & {"y", "groups", "lengths"}:
        if len(np.atleast_1d(arrays[key])) != N:
            got = f"{key} of shape {arrays[key].shape} in {name}"
            raise UserError(argument, f"as many {key} as series, {N}", got, fix=f"{key} and x in the same order")
    lengths = arrays.get("lengths", np.full(N, T)).astype(np.int64)
    if lengths.min() < 1 or lengths.max() > T:
        got = f"{lengths.min()} to {lengths.max()} in {name}"
        raise UserError(argument, f"lengths from 1 to {T}, the steps of x", got, fix="lengths that x has")
    dtype = np.promote_types(x.dtype, np.float32)  # float64 for all that float32 does not hold
    y, groups = arrays.get("y") if targets else None, arrays.get("groups")
    return [
        Labelled(
            x_NTI[n, :length].astype(dtype),
            None if y is None else _target(y[n], length),
            n,
            f"{name} series {n}",
            None if groups is None else str(groups[n]),
        )
        for n, length in enumerate(lengths.tolist())
    ]


def _target(value: Any, length: int) -> Any:
    return value[:length] if np.ndim(value) else value.item()


def _load(content: bytes, name: str, argument: str) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # of whatever else it is, NumPy would say it is a pickle
            check_unpacked(sum(member.file_size for member in archive.infolist()), len(content), name, argument)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except UserError:
        raise
    except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            fix = "x padded to [N, T, I] beside lengths [N]"
            raise UserError(argument, "arrays of numbers and text", f"objects in {name}", fix=fix) from error
        raise UserError(argument, "a whole .npz file", f"{name}: {error}", fix="np.savez(file, x=x, y=y)") from error
