"""Series from `.npz` files of NumPy."""

import io
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.packed import check_unpacked
from rnnkit.data.labeled.example import Labeled
from rnnkit.errors import UserError


def read_npz(
    content: bytes, name: str, *, targets: bool, argument: str, notes: Findings | None = None
) -> list[Labeled]:
    """Read the series of an `.npz` file.

    The arrays are `x` [N, T, I] or [N, T], with NaN for missing values; optionally `lengths` [N]; `y` with labels or
    numbers [N], or numbers [N, T] for a curve; and optionally `groups` [N]. Arrays of objects are rejected, because
    loading them could run code from the file.

    Args:
        content: the bytes of the file.
        name: the name of the file, for error messages.
        targets: whether `y` is required.
        argument: the argument that error messages name.
        notes: collects the names of other arrays, which are ignored.

    Raises:
        UserError: the file is damaged, arrays are missing or have inconsistent shapes, or contain objects.

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
    x_NTI = x_NTI.astype(
        np.result_type(x.dtype, np.float32), copy=False
    )  # keep the precision until the values are standardized
    if np.isinf(x_NTI).any():
        series = int(np.isinf(x_NTI).any((1, 2)).argmax())
        raise UserError(
            argument, "finite values", f"infinity in series {series} of {name}", fix="NaN for unknown values"
        )
    for key in arrays.keys() & {"y", "groups", "lengths"}:
        if arrays[key].ndim == 0 or len(arrays[key]) != N:
            got = f"{key} of shape {arrays[key].shape} in {name}"
            raise UserError(argument, f"as many {key} as series, {N}", got, fix=f"{key} and x in the same order")
    said = arrays.get("lengths", np.full(N, T))
    expected = f"whole numbers from 0 to {T}, the steps of x, as lengths"
    if said.ndim != 1 or said.dtype.kind not in "iuf":
        got = f"{said.dtype} of shape {said.shape} in {name}"
        raise UserError(argument, expected, got, fix="lengths that x has")
    if not ((said >= 0) & (said <= T) & (said == np.floor(said))).all():
        wrong = next(one for one in said.tolist() if one not in range(T + 1))
        raise UserError(argument, expected, f"{wrong!r} in {name}", fix="lengths that x has")
    lengths = said.astype(np.int64)
    if notes is not None:
        for key in arrays.keys() - {"x", "y", "groups", "lengths"}:
            notes.add(f"arrays with an unknown name, {key!r}, ignored", name)
    dtype = np.promote_types(x.dtype, np.float32)  # float64 for types that float32 cannot represent
    y, groups = arrays.get("y") if targets else None, arrays.get("groups")
    if groups is not None and np.issubdtype(groups.dtype, np.floating) and np.isnan(groups).any():
        got = f"NaN for series {int(np.isnan(groups).argmax())} of {name}"
        raise UserError(argument, "a group of every series", got, fix="groups without NaN, or no groups")
    return [
        Labeled(
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
        with zipfile.ZipFile(
            io.BytesIO(content)
        ) as archive:  # for any other file, the message of NumPy would be about pickles
            check_unpacked(sum(member.file_size for member in archive.infolist()), len(content), name, argument)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except UserError:
        raise
    except Exception as error:  # whatever zipfile, NumPy and the decompressors raise for a damaged file
        if "Object arrays" in str(error):
            fix = "x padded to [N, T, I] and lengths [N]"
            raise UserError(argument, "arrays of numbers and text", f"objects in {name}", fix=fix) from error
        got = f"{name}: {str(error)[:200]}"
        raise UserError(argument, "a complete .npz file", got, fix="np.savez(file, x=x, y=y)") from error
