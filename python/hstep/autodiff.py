"""Functions of JAX and torch as parts of a model, with gradients of their own autodiff.

``hstep.autodiff.jax(f)`` and ``hstep.autodiff.torch(f)`` give what ``reward_fn``, ``dynamics_fn`` and the planners
take. ``f`` gets arrays of that library (float32; through DLPack, without a copy where the library allows it).
"""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

import numpy as np


def _float32(x: Any) -> Any:
    return np.ascontiguousarray(x, dtype=np.float32)


class Differentiable:
    """A function of arrays with its vector-Jacobian product."""

    def __init__(self, f: Callable[..., Any], call: Callable[..., Any], vjp: Callable[..., Any]) -> None:
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        self._call, self._vjp = call, vjp

    def __call__(self, *arrays: Any) -> Any:
        """The function's value, as arrays of NumPy."""
        result = self._call(*map(_float32, arrays))
        return tuple(result) if isinstance(result, (tuple, list)) else result

    def vjp(self, arrays: Sequence[Any], at: Any) -> Tuple[Any, ...]:
        """Gradients of the arrays for gradients ``at`` of what the function returns."""
        at = tuple(map(_float32, at)) if isinstance(at, tuple) else _float32(at)
        return tuple(self._vjp(tuple(map(_float32, arrays)), at))


def jax(f: Callable[..., Any]) -> Differentiable:
    """A function of JAX arrays, compiled by ``jax.jit``."""
    import jax as library

    def there(x: Any) -> Any:
        return library.tree_util.tree_map(library.numpy.from_dlpack, x)

    def back(x: Any) -> Any:
        return library.tree_util.tree_map(np.from_dlpack, x)

    compiled = library.jit(f)
    pulled = library.jit(lambda arrays, at: library.vjp(f, *arrays)[1](at))
    return Differentiable(
        f,
        lambda *arrays: back(compiled(*there(arrays))),
        lambda arrays, at: back(pulled(there(arrays), there(at))),
    )


def torch(f: Callable[..., Any]) -> Differentiable:
    """A function of torch tensors."""
    import torch as library

    def call(*arrays: Any) -> Any:
        with library.no_grad():
            result = f(*map(library.from_dlpack, arrays))
        return tuple(x.numpy() for x in result) if isinstance(result, (tuple, list)) else result.numpy()

    def vjp(arrays: Any, at: Any) -> Any:
        inputs = [library.from_dlpack(x).requires_grad_() for x in arrays]
        result = f(*inputs)
        several = isinstance(result, (tuple, list))
        pairs = list(zip(result, at)) if several else [(result, at)]
        kept = [(y, library.from_dlpack(g)) for y, g in pairs if y.requires_grad]
        if not kept:
            return tuple(np.zeros_like(x) for x in arrays)
        found = library.autograd.grad([y for y, _ in kept], inputs, [g for _, g in kept], allow_unused=True)
        return tuple(np.zeros_like(x) if g is None else g.numpy() for x, g in zip(arrays, found))

    return Differentiable(f, call, vjp)
