"""Functions of a batch in the place of parts of a model, checked at every call."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple

import numpy as np

from ._arrays import Array
from .errors import EnvError, ShapeError


def _result(x: Any, dims: Tuple[int, ...], name: str) -> Array:
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"`{name}` should return numbers, got dtype {array.dtype}")
    if array.shape != dims:
        raise ShapeError(f"`{name}` should return shape {list(dims)} for a batch of {dims[0]}, got {list(array.shape)}")
    return np.ascontiguousarray(array, dtype=np.float64)


def _name(f: Any, usual: str) -> str:
    name: str = getattr(f, "__name__", usual)
    return usual if name == "<lambda>" else name


class _Function:
    """``f`` with a gradient where it has a ``vjp``."""

    arguments = 3

    def __init__(self, f: Callable[..., Any], usual: str) -> None:
        if not callable(f):
            raise EnvError(f"`{usual}`: expected a function, got {type(f).__name__}")
        self.f, self.name = f, _name(f, usual)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient."""
        return hasattr(self.f, "vjp")

    def gradients(self, of: Sequence[Array], at: Any) -> Tuple[Array, ...]:
        """The gradients of its arguments."""
        found = self.f.vjp(tuple(of), at)  # type: ignore[attr-defined]
        if len(found) != len(of):
            raise ShapeError(f"`{self.name}.vjp` should return {len(of)} arrays, got {len(found)}")
        return tuple(_result(x, y.shape, f"{self.name}.vjp") for x, y in zip(found, of))


class Reward(_Function):
    """``reward_fn(obs [B,O], action [B,A], next_obs [B,O]) -> [B]``."""

    def __init__(self, f: Callable[..., Any], obs_dim: int, action_dim: int) -> None:
        super().__init__(f, "reward_fn")

    def __call__(self, obs: Array, action: Array, next_obs: Array) -> Tuple[Array]:
        return (_result(self.f(obs, action, next_obs), (len(obs),), self.name),)

    def vjp(self, obs: Array, action: Array, next_obs: Array, at: Array) -> Tuple[Array, ...]:
        """Gradients of the three arguments for gradients ``at [B]``."""
        return self.gradients((obs, action, next_obs), at)


class Continuation(_Function):
    """``terminated_fn(obs [B,O], action [B,A], next_obs [B,O]) -> [B]`` of bool, as 1 where it goes on."""

    differentiable = False

    def __init__(self, f: Callable[..., Any], obs_dim: int, action_dim: int) -> None:
        super().__init__(f, "terminated_fn")

    def __call__(self, obs: Array, action: Array, next_obs: Array) -> Tuple[Array]:
        ends = _result(self.f(obs, action, next_obs), (len(obs),), self.name)
        if not np.isin(ends, (0.0, 1.0)).all():
            raise EnvError(f"`{self.name}` should return True or False a row, got {ends[:5]}")
        return (1.0 - ends,)


class Step(_Function):
    """``f(state [B,S], action [B,A])`` gives the next state, the reward where none is given, and where it
    has them, ends; as one array ``[B,S+2]``."""

    def __init__(
        self,
        f: Callable[..., Any],
        state_dim: int,
        action_dim: int,
        reward: Optional[Callable[..., Any]] = None,
        terminated: Optional[Callable[..., Any]] = None,
    ) -> None:
        super().__init__(f, "dynamics_fn")
        self.state_dim = state_dim
        self.reward = reward and Reward(reward, state_dim, action_dim)
        self.terminated = terminated and Continuation(terminated, state_dim, action_dim)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient, and its reward has one."""
        return hasattr(self.f, "vjp") and (not self.reward or self.reward.differentiable)

    def _parts(self, state: Array, action: Array) -> Tuple[Any, ...]:
        result = self.f(state, action)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    def __call__(self, state: Array, action: Array, _: Array) -> Tuple[Array]:
        b = len(state)
        parts = self._parts(state, action)
        if not 1 <= len(parts) <= 3:
            raise EnvError(f"`{self.name}` should return next states, rewards and ends, got {len(parts)} values")
        following = _result(parts[0], (b, self.state_dim), self.name)
        if len(parts) > 1:
            reward = _result(parts[1], (b,), f"{self.name}, rewards")
        elif self.reward:
            (reward,) = self.reward(state, action, following)
        else:
            raise EnvError(f"`{self.name}` returns next states alone: return (next_state, reward), or give `reward_fn`")
        if len(parts) > 2:
            goes_on = 1.0 - _result(parts[2], (b,), f"{self.name}, ends")
        elif self.terminated:
            (goes_on,) = self.terminated(state, action, following)
        else:
            goes_on = np.ones(b)
        return (np.column_stack([following, reward, goes_on]),)

    def vjp(self, state: Array, action: Array, none: Array, at: Array) -> Tuple[Array, ...]:
        """Gradients of state, action and of what is ignored, for gradients ``at [B,S+2]``."""
        at_next, at_reward = np.ascontiguousarray(at[:, : self.state_dim]), np.ascontiguousarray(at[:, self.state_dim])
        parts = self._parts(state, action)
        if len(parts) > 1:
            gradients: Tuple[Any, ...] = (at_next, at_reward, np.zeros(len(state)))[: len(parts)]
            found = self.gradients((state, action), gradients)
            return (*found, np.zeros_like(none))
        if not self.reward:
            raise EnvError(f"`{self.name}` returns no reward")
        following = _result(parts[0], (len(state), self.state_dim), self.name)
        of_state, of_action, of_next = self.reward.gradients((state, action, following), at_reward)
        found = self.gradients((state, action), at_next + of_next)
        return found[0] + of_state, found[1] + of_action, np.zeros_like(none)


class Worth(_Function):
    """``terminal(state [B,S]) -> [B]``."""

    def __init__(self, f: Callable[..., Any]) -> None:
        super().__init__(f, "terminal")

    def __call__(self, state: Array, _: Array, __: Array) -> Tuple[Array]:
        return (_result(self.f(state), (len(state),), self.name),)

    def vjp(self, state: Array, x: Array, y: Array, at: Array) -> Tuple[Array, ...]:
        """Gradients of the state, and of what is ignored, for gradients ``at [B]``."""
        return (*self.gradients((state,), at), np.zeros_like(x), np.zeros_like(y))
