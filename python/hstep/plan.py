"""Planners alone: on a function of a batch, or on an environment that can be set to any of its states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union, cast

import numpy as np

from . import _arrays, _hstep, _settings
from ._arrays import Array, Seed
from ._functions import Step, Worth
from .errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """What a planner found for B start states: N actions a sequence, K candidates. Of a single start state the
    arrays have no B."""

    actions: Array
    """The plan ``[B,N,A]``, in units of the environment."""
    samples: Array
    """The last candidates' actions ``[B,K,N,A]``."""
    returns: Array
    """Their returns ``J_H`` ``[B,K]``; minus infinity where not finite."""
    weights: Array
    """Their weights ``[B,K]``, which sum to 1."""
    log_normaliser: Array
    """The log of the utility's mean over the candidates, ``[B]``."""
    value: Array
    """What the plan is worth in units of reward, ``[B]``: for exponential utilities the temperature times the
    log-normaliser, else the weighted mean of the returns."""
    effective_samples: Array
    """``1 / sum_k w_k^2``, ``[B]``, between 1 and K."""
    mean: Optional[Array]
    """The mean of the search distribution ``[B,N,A]``; ``None`` around a policy."""
    model_steps: int
    """Steps of the model taken, one a row."""

    @property
    def first(self) -> Array:
        """The first actions ``[B,A]``."""
        return self.actions[..., 0, :]

    def shifted(self, fill: Any = 0.0) -> Array:
        """The plan one step on, ``[B,N,A]``: the ``start`` of the next search."""
        mean = self.actions if self.mean is None else self.mean
        last = np.broadcast_to(np.asarray(fill, float), mean[..., :1, :].shape)
        return np.concatenate([mean[..., 1:, :], last], axis=-2)


class Simulator:
    """An environment of hstep by name, with its states as arrays, a batch at a time."""

    def __init__(self, name: str) -> None:
        self._own = _hstep.Simulator(name)
        self.name: str = self._own.name
        self.obs_dim: int = self._own.obs_dim
        self.state_dim: int = self._own.state_dim
        self.max_steps: int = self._own.max_steps
        low, high = self._own.bounds()
        self.action_low, self.action_high = np.array(low), np.array(high)

    @property
    def action_dim(self) -> int:
        """Length A of an action."""
        return len(self.action_low)

    def reset(self, n: Optional[int] = None, *, seed: int = 0) -> Array:
        """A start state ``[S]``, or ``n`` of them, ``[n,S]``."""
        states = self._own.reset(1 if n is None else n, seed)
        return states[0] if n is None else states

    def observe(self, states: Any) -> Array:
        """Observations of states ``[B,S]``, ``[B,O]``."""
        states, single = _arrays.batch(states, self.state_dim, "states")
        obs = self._own.observe(states)
        return obs[0] if single else obs

    def step(self, states: Any, actions: Any) -> Tuple[Any, Any, Any]:
        """Next states, rewards, and whether the episodes end, of states ``[B,S]`` and actions ``[B,A]``."""
        states, single = _arrays.batch(states, self.state_dim, "states")
        actions, _ = _arrays.batch(actions, self.action_dim, "actions")
        following, reward, goes_on = self._own.step(states, actions)
        parts = following, reward, goes_on == 0.0
        return (following[0], reward[0], bool(goes_on[0] == 0.0)) if single else parts


#: What steps the states of a plan: ``f(state [B,S], action [B,A]) -> (next [B,S], reward [B][, ends [B]])``,
#: a :class:`Simulator`, or the name of an environment.
ModelLike = Union[str, Simulator, Callable[..., Any]]


class Asked(NamedTuple):
    """What the compiled part reads of a search."""

    kind: str
    settings: str
    horizon: int
    gamma: Optional[float]
    terminal: str
    seed: int
    start: Optional[Array]


def asked(
    kind: str,
    horizon: int,
    gamma: Optional[float],
    terminal: str,
    rng: Seed,
    start: Any,
    rows: int,
    action_dim: int,
    settings: Mapping[str, Any],
) -> Asked:
    """A search, checked."""
    if start is not None:
        start = _arrays.sequence(start, rows, action_dim, "start")
    nested: Dict[str, Any] = {}
    for key, value in settings.items():
        path = key.replace("__", ".").split(".")
        if path == ["samples"] and not isinstance(value, Mapping):
            # What everybody means by it.
            path = ["samples", "count"]
        place = nested
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    if int(horizon) != horizon or horizon < 0:
        raise ConfigError(f"`horizon`: expected a whole number of steps, 0 or more, got {horizon}")
    seed = _arrays.seed_of(rng)
    return Asked(kind, _settings.table(nested), int(horizon), gamma, terminal, 0 if seed is None else seed, start)


def found(numbers: Any, single: bool) -> Plan:
    """The plan that these arrays are."""
    (actions, samples, mean), (returns, weights, log_normaliser, value, effective), model_steps = numbers
    plan = Plan(actions, samples, returns, weights, log_normaliser, value, effective, mean, model_steps)
    if not single:
        return plan
    arrays = {key: x[0] for key, x in vars(plan).items() if isinstance(x, np.ndarray)}
    return replace(plan, **arrays)


def plan(
    kind: str,
    step: ModelLike,
    s0: Any,
    horizon: int,
    *,
    low: Any = None,
    high: Any = None,
    gamma: float = 1.0,
    terminal: Optional[Callable[[Array], Any]] = None,
    start: Any = None,
    rng: Seed = 0,
    **settings: Any,
) -> Plan:
    """Actions that make ``sum_{t<H} gamma^t r_t + gamma^H terminal(s_H)`` large from states ``s0 [B,S]`` or ``[S]``.

    Parameters
    ----------
    kind:
        ``cem``, ``mppi``, ``mirror`` or ``gradient``; each has a function of its own here, too.
    step:
        The model: a function of a batch, a :class:`Simulator`, or an environment's name. ``gradient`` needs one with
        a ``vjp`` (``hstep.autodiff``).
    low, high:
        Bounds of the actions ``[A]``; a simulator's own.
    terminal:
        ``f(state [B,S]) -> [B]``: what the last state is worth; nothing without it.
    start:
        A sequence ``[N,A]`` or ``[B,N,A]`` that the search starts from; the middle of the bounds without it.
    rng:
        A seed or a generator.
    settings:
        The planner's own: ``samples=512`` candidates, ``iterations=3``, ``temperature=0.1``, ...
    """
    step = Simulator(step) if isinstance(step, str) else step
    if isinstance(step, Simulator):
        if low is not None or high is not None:
            raise ConfigError("`low`, `high`: a simulator has its own bounds")
        rows, single = _arrays.batch(s0, step.state_dim, "s0")
        width, model = step.action_dim, cast(Any, step._own)
    else:
        rows, single = _arrays.batch(s0, None, "s0")
        if low is None or high is None:
            raise ConfigError("give `low` and `high`: the bounds of the actions, [A]")
        bounds = [_arrays.numbers(np.atleast_1d(x), name) for x, name in ((low, "low"), (high, "high"))]
        if bounds[0].shape != bounds[1].shape or bounds[0].ndim != 1 or not (bounds[0] < bounds[1]).all():
            raise ConfigError(f"`low`, `high`: expected two rows [A], low below high, got {low} and {high}")
        width = len(bounds[0])
        model = _Function(Step(step, rows.shape[1], width), rows.shape[1], *(x.tolist() for x in bounds))
    request = asked(kind, horizon, gamma, "zero", rng, start, len(rows), width, settings)
    return found(_hstep.plan(model, rows, request, terminal and Worth(terminal)), single)


class _Function(NamedTuple):
    step: Step
    state_dim: int
    low: Any
    high: Any


def mppi(step: ModelLike, s0: Any, horizon: int, **settings: Any) -> Plan:
    """Model predictive path integral control: weights ``exp(R / temperature)``. See :func:`plan`."""
    return plan("mppi", step, s0, horizon, **settings)


def cem(step: ModelLike, s0: Any, horizon: int, **settings: Any) -> Plan:
    """The cross-entropy method: a Gaussian refitted to the elites. See :func:`plan`."""
    return plan("cem", step, s0, horizon, **settings)


def mirror(step: ModelLike, s0: Any, horizon: int, **settings: Any) -> Plan:
    """Mirror descent (M-DeMoRL), with its family of utilities. See :func:`plan`."""
    return plan("mirror", step, s0, horizon, **settings)


def gradient(step: ModelLike, s0: Any, horizon: int, **settings: Any) -> Plan:
    """Ascent through the model, from several starts. See :func:`plan`."""
    return plan("gradient", step, s0, horizon, **settings)
