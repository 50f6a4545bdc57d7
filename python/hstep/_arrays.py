"""Arrays that come in: checked, and laid out as the compiled part takes them."""

from __future__ import annotations

from typing import Any, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from .errors import NonFiniteError, ShapeError

Array = npt.NDArray[np.float64]
Seed = Union[None, int, np.random.Generator]


def numbers(x: Any, name: str) -> Array:
    """``x`` as contiguous float64; a copy only where it is something else."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ShapeError(f"`{name}`: expected an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"`{name}`: expected real numbers, got dtype {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"`{name}` holds NaN or an infinite number")
    return array


def batch(x: Any, width: Optional[int], name: str) -> Tuple[Array, bool]:
    """``x`` as ``[B, width]``, and whether it was a single row."""
    array = numbers(x, name)
    single = array.ndim == 1
    rows = array[np.newaxis] if single else array
    if rows.ndim != 2 or (width is not None and rows.shape[1] != width):
        of = "N" if width is None else width
        raise ShapeError(f"`{name}`: expected shape [{of}] or [B,{of}], got {list(np.shape(x))}")
    return rows, single


def sequence(x: Any, rows: int, width: int, name: str) -> Array:
    """``x`` as ``[B, N, width]``; a single sequence ``[N, width]`` counts for all rows."""
    array = numbers(x, name)
    if array.ndim == 2:
        array = np.ascontiguousarray(np.broadcast_to(array, (rows, *array.shape)))
    if array.ndim != 3 or array.shape[0] != rows or array.shape[2] != width:
        expected = f"[N,{width}] or [{rows},N,{width}]"
        raise ShapeError(f"`{name}`: expected shape {expected}, got {list(np.shape(x))}")
    return array


def seed_of(rng: Seed) -> Optional[int]:
    """An integer seed; a generator gives its next one."""
    if rng is None:
        return None
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(1 << 63))
    return int(rng)
