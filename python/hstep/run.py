"""Training, going on, and using what was learned."""

from __future__ import annotations

import csv
import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from . import _arrays, _hstep, _settings
from ._arrays import Array, Seed
from ._env import EnvLike, Source
from ._signals import Stopping
from .errors import CheckpointError, ConfigError
from .plan import Plan, asked, found

PathLike = Union[str, "os.PathLike[str]"]
Row = Dict[str, float]


def train(
    algo: Union[str, PathLike, Mapping[str, Any]],
    env: EnvLike,
    *,
    seed: int = 0,
    steps: Optional[int] = None,
    out: Optional[PathLike] = None,
    start_from: Optional[Union[PathLike, Run]] = None,
    name: Optional[str] = None,
    max_steps: Optional[int] = None,
    reward_fn: Optional[Callable[..., Any]] = None,
    terminated_fn: Optional[Callable[..., Any]] = None,
    dynamics_fn: Optional[Callable[..., Any]] = None,
    callback: Optional[Callable[[Row], Any]] = None,
    **settings: Any,
) -> Run:
    """Trains, or goes on with the run of these very settings in ``out``.

    Parameters
    ----------
    algo:
        An algorithm or preset by name (``hstep list algos`` shows them), a ``.toml`` file, or a table of settings
        with ``base``: the algorithm it changes.
    env:
        The name of an environment, an environment of Gymnasium's interface (Box spaces), or a function that makes
        one. An evaluation takes a second one; of an environment that is a copy.
    seed, steps:
        Seed of everything random; environment steps.
    out:
        Where run folders go: ``HSTEP_RUNS``, else ``runs``.
    start_from:
        A run whose weights this one begins with.
    name:
        What the environment is called in the run folder.
    max_steps:
        The time limit of an episode, where the environment does not say it.
    reward_fn, terminated_fn:
        ``f(obs [B,O], action [B,A], next_obs [B,O]) -> [B]``: reward, and whether the episode ends, for a learned
        model that need not learn them. Algorithms that differentiate through the model need a ``vjp`` of the reward
        (``hstep.autodiff``).
    dynamics_fn:
        The model itself in place of a learned one: ``f(obs [B,O], action [B,A])`` gives ``next_obs``,
        ``(next_obs, reward)`` or ``(next_obs, reward, terminated)``.
    callback:
        Called with every row of the metrics; ``False`` ends the run, which can be resumed.
    settings:
        ``improve__horizon=3`` or ``**{"improve.horizon": 3}``, as on the command line.

    Raises
    ------
    hstep.HstepError
        For wrong settings and failures; what the environment or a function raises comes through as it is. Either way
        everything up to the last whole step is saved. Ctrl-C saves and raises ``hstep.Interrupted``, a
        ``KeyboardInterrupt``.
    """
    if dynamics_fn is not None:
        settings = {"run.model": "given", **settings}
    elif reward_fn is not None:
        settings = {"model.learn_reward": False, **settings}
    source = Source(
        env, name=name, max_steps=max_steps, dynamics_fn=dynamics_fn, reward_fn=reward_fn, terminated_fn=terminated_fn
    )
    start = os.fspath(start_from.path if isinstance(start_from, Run) else start_from) if start_from else None
    request = _Request(algo, settings, source.name, start, seed, steps)
    with Stopping() as stopping:
        path = _hstep.train(request, out, source, stopping.stop, callback)
    return Run(path, source=source)


def resume(
    run: Union[PathLike, Run],
    env: Optional[EnvLike] = None,
    *,
    steps: Optional[int] = None,
    max_steps: Optional[int] = None,
    reward_fn: Optional[Callable[..., Any]] = None,
    terminated_fn: Optional[Callable[..., Any]] = None,
    dynamics_fn: Optional[Callable[..., Any]] = None,
    callback: Optional[Callable[[Row], Any]] = None,
    **settings: Any,
) -> Run:
    """Goes on with a run, to ``steps`` environment steps where they are given.

    An environment that was an object of a program is to be given again, with its functions. Returns the run.
    """
    known = run if isinstance(run, Run) else None
    path = pathlib.Path(known.path if known else run)  # type: ignore[arg-type]
    source = known._source if known and env is None else None
    if source is None:
        functions = {"reward_fn": reward_fn, "terminated_fn": terminated_fn, "dynamics_fn": dynamics_fn}
        source = _source_of(path, env, max_steps, functions)
    own = _settings.assignments(settings)
    with Stopping() as stopping:
        _hstep.resume(path, own, steps, source, stopping.stop, callback)
    return Run(path, source=source)


def config(
    algo: Union[str, PathLike, Mapping[str, Any]],
    env: EnvLike = "pendulum",
    *,
    seed: int = 0,
    steps: Optional[int] = None,
    max_steps: Optional[int] = None,
    **settings: Any,
) -> Dict[str, Any]:
    """Every setting that :func:`train` would use; nothing is run."""
    source = Source(env, max_steps=max_steps)
    found: Dict[str, Any] = json.loads(
        _hstep.resolved(_Request(algo, settings, source.name, None, seed, steps), source)
    )
    return found


class _Request:
    """What the compiled part reads of a run that is asked for."""

    def __init__(
        self,
        algo: Union[str, PathLike, Mapping[str, Any]],
        settings: Mapping[str, Any],
        env: Optional[str],
        start_from: Optional[str],
        seed: Optional[int],
        steps: Optional[int],
    ) -> None:
        self.what: Optional[str] = None
        self.table = ""
        if isinstance(algo, Mapping):
            self.table = _settings.table(algo)
        else:
            self.what = os.fspath(algo)
        self.settings = _settings.assignments(settings)
        self.env, self.start_from, self.seed, self.steps = env, start_from, seed, steps


def _source_of(
    path: pathlib.Path, env: Optional[EnvLike], max_steps: Optional[int], functions: Mapping[str, Any]
) -> Source:
    """The environment of a run, given again where only the program has it."""
    name = json.loads(_hstep.config(path))["run"]["env"]
    given = {key: f for key, f in functions.items() if f is not None}
    if env is None:
        if name.startswith(_hstep.IN_PYTHON):
            raise ConfigError(f"`{name}` is an environment of a program: give it as `env`, as when the run began")
        if given:
            raise ConfigError(f"{', '.join(given)} belongs to an environment of this program, and this run's is `{name}`")
        return Source(name)
    own = name[len(_hstep.IN_PYTHON) :] if name.startswith(_hstep.IN_PYTHON) else name
    source = Source(env, name=own, max_steps=max_steps, **given)
    if source.name != name:
        raise ConfigError(f"`env`: this run's environment is `{name}`, got `{source.name}`")
    return source


class Evaluation(NamedTuple):
    """Episodes of an evaluation."""

    returns: Array
    """Undiscounted return of each, ``[N]``."""
    lengths: Array
    """Steps of each, ``[N]``."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())


class Transition(NamedTuple):
    """One step of a model."""

    next_obs: Array
    """``[B,S]``"""
    reward: Array
    """``[B]``"""
    terminated: Any
    """``[B]`` of bool."""


class Rollout(NamedTuple):
    """A rollout in a model."""

    states: Array
    """``[B,H+1,S]``"""
    actions: Array
    """``[B,H,A]``"""
    rewards: Array
    """``[B,H]``, zero after an end."""
    goes_on: Array
    """``[B,H]``, 0 from the step on that ends an episode."""


class Objective(NamedTuple):
    """The H-step objective and its gradients."""

    value: Array
    """``J_H``, ``[B]``."""
    at_states: Array
    """Its gradient at the start states, ``[B,S]``."""
    at_actions: Optional[Array]
    """Its gradient at the actions, ``[B,N,A]``, where they were given."""


@dataclass(frozen=True)
class Model:
    """The model of a run."""

    _run: Run

    def step(self, obs: Any, action: Any, rng: Seed = None) -> Transition:
        """One step from ``obs [B,S]`` with ``action [B,A]``, in the environment's units.

        With ``rng`` (a seed or a generator) a sample of a random member; without, the mean of the best one.
        """
        obs, single = _arrays.batch(obs, self._run._width, "obs")
        action, _ = _arrays.batch(action, self._run.action_dim, "action")
        actions = _arrays.sequence(action[:, None, :], len(obs), self._run.action_dim, "action")
        states, rewards, cont, _ = self._run._opened.rollout(obs, actions, 1, _arrays.seed_of(rng))
        parts = states[:, 1], rewards[:, 0], cont[:, 0] == 0.0
        return Transition(*(part[0] for part in parts)) if single else Transition(*parts)

    def rollout(self, obs: Any, actions: Any = None, *, horizon: Optional[int] = None, rng: Seed = None) -> Rollout:
        """A rollout from ``obs [B,S]``: with ``actions [B,H,A]``, or ``horizon`` steps of the run's policy."""
        obs, single = _arrays.batch(obs, self._run._width, "obs")
        if actions is not None:
            actions = _arrays.sequence(actions, len(obs), self._run.action_dim, "actions")
            horizon = actions.shape[1] if horizon is None else horizon
        if horizon is None:
            raise ConfigError("give `actions`, or `horizon`: how many steps of the policy")
        states, rewards, cont, taken = self._run._opened.rollout(obs, actions, horizon, _arrays.seed_of(rng))
        parts = states, taken, rewards, cont
        return Rollout(*(part[0] for part in parts)) if single else Rollout(*parts)


class Run:
    """A run folder: its numbers, and what was learned at its newest checkpoint.

    The environment is to be given again where it was an object of a program. Actions are in the environment's units
    everywhere; observations are one row ``[O]`` or a batch ``[B,O]``, and so are the results.
    """

    def __init__(
        self,
        path: PathLike,
        env: Optional[EnvLike] = None,
        *,
        max_steps: Optional[int] = None,
        reward_fn: Optional[Callable[..., Any]] = None,
        terminated_fn: Optional[Callable[..., Any]] = None,
        dynamics_fn: Optional[Callable[..., Any]] = None,
        source: Optional[Source] = None,
    ) -> None:
        self.path = pathlib.Path(path)
        #: Every setting, as in ``config.toml``.
        self.config: Dict[str, Any] = json.loads(_hstep.config(self.path))
        functions = {"reward_fn": reward_fn, "terminated_fn": terminated_fn, "dynamics_fn": dynamics_fn}
        self._given = (env, max_steps, functions)
        self._source: Optional[Source] = source
        self._agent: Optional[_hstep.Opened] = None
        self._described: Optional[Dict[str, Any]] = None

    def __repr__(self) -> str:
        run = self.config["run"]
        return f"<hstep.Run {run['algo']} on {run['env']}, seed {run['seed']}: {self.path}>"

    @property
    def _opened(self) -> _hstep.Opened:
        if self._agent is None:
            if self._source is None:
                env, max_steps, functions = self._given
                self._source = _source_of(self.path, env, max_steps, functions)
            self._agent = _hstep.Opened(self.path, self._source)
        return self._agent

    @property
    def about(self) -> Dict[str, Any]:
        """What was done (``env_steps``, ...), which ``parts`` there are, bounds of actions, sizes."""
        if self._described is None:
            self._described = self._opened.describe()
        return self._described

    @property
    def action_dim(self) -> int:
        """Length A of an action."""
        return len(self.about["action_low"])

    @property
    def _width(self) -> int:
        width: int = self.about["state_dim"] or self.about["obs_dim"]
        return width

    @property
    def metrics(self) -> Dict[str, Array]:
        """The columns of ``metrics.csv`` by name, NaN where a row has no number."""
        return _columns(self.path / "metrics.csv")

    def frame(self) -> Any:
        """The metrics as a data frame of pandas."""
        import pandas

        return pandas.DataFrame(self.metrics)

    def policy(self, obs: Any, rng: Seed = None) -> Array:
        """The policy's actions: its modes, or with ``rng`` (a seed or a generator) its samples."""
        obs, single = _arrays.batch(obs, self.about["obs_dim"], "obs")
        actions = self._opened.policy(obs, _arrays.seed_of(rng))
        return actions[0] if single else actions

    def q(self, obs: Any, action: Any, *, members: bool = False) -> Any:
        """Action values, the lowest of the members; with ``members`` all of them, ``[E]`` or ``[E,B]``."""
        obs, single = _arrays.batch(obs, self.about["obs_dim"], "obs")
        action, _ = _arrays.batch(action, self.action_dim, "action")
        q = self._opened.q(obs, action)
        q = q if members else q.min(axis=0)
        return q[..., 0] if single else q

    def value(self, obs: Any) -> Any:
        """State values: of the run's V where it has one, else the lowest Q at the policy's mode."""
        obs, single = _arrays.batch(obs, self.about["obs_dim"], "obs")
        value = self._opened.value(obs)
        return value[0] if single else value

    @property
    def model(self) -> Model:
        """The model, one step or many."""
        return Model(self)

    def plan(
        self,
        obs: Any,
        planner: str = "mppi",
        horizon: int = 5,
        *,
        gamma: Optional[float] = None,
        terminal: Optional[str] = None,
        start: Any = None,
        rng: Seed = 0,
        **settings: Any,
    ) -> Plan:
        """Plans ``horizon`` steps in the run's model from ``obs [B,S]``.

        ``planner`` is ``cem``, ``mppi``, ``mirror`` or ``gradient``, with its ``settings`` (``samples=512`` candidates).
        ``terminal`` is what the last state is worth: ``q``, ``value`` or ``zero``; what the run has by default.
        The search starts from ``start [N,A]``; without it around the policy, where there is one. ``gamma`` is the
        run's.
        """
        obs, single = _arrays.batch(obs, self._width, "obs")
        parts = self.about["parts"]
        if terminal is None:
            terminal = "q" if "critic" in parts else "value" if "value" in parts else "zero"
        request = asked(planner, horizon, gamma, terminal, rng, start, len(obs), self.action_dim, settings)
        return found(self._opened.plan(obs, request, start is None and "policy" in parts), single)

    def objective(
        self,
        obs: Any,
        actions: Any = None,
        *,
        horizon: int = 5,
        gamma: Optional[float] = None,
        terminal: Optional[str] = None,
        rng: Seed = None,
    ) -> Objective:
        """``J_H = sum_t gamma^t r_t + gamma^H V(s_H)`` through the run's model, and its gradients.

        With ``actions [B,N,A]`` of the environment (``N = horizon``, and one more where ``terminal`` is ``q``), else
        with the run's policy. Without ``rng`` nothing is random: modes of the policy, means of the model.
        """
        obs, single = _arrays.batch(obs, self._width, "obs")
        if terminal is None:
            parts = self.about["parts"]
            terminal = "q" if "critic" in parts else "value" if "value" in parts else "zero"
        if actions is not None:
            actions = _arrays.sequence(actions, len(obs), self.action_dim, "actions")
        value, at_states, at_actions = self._opened.objective(
            obs, actions, _Rolled(horizon, gamma, terminal, _arrays.seed_of(rng))
        )
        if single:
            return Objective(value[0], at_states[0], None if at_actions is None else at_actions[0])
        return Objective(value, at_states, at_actions)

    def evaluate(self, episodes: int = 20, *, seed: Optional[int] = None) -> Evaluation:
        """Episodes of the run's environment as its evaluations run them."""
        returns, lengths = self._opened.evaluate(episodes, seed)
        return Evaluation(np.array(returns), np.array(lengths, dtype=float))


@dataclass
class _Rolled:
    horizon: int
    gamma: Optional[float]
    terminal: str
    seed: Optional[int]


def _columns(path: pathlib.Path) -> Dict[str, Array]:
    try:
        with open(path, newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file: has the run been trained?") from None
    if not rows:
        return {}
    header, *rows = rows
    columns: List[Tuple[str, List[float]]] = [
        (name, [float(row[i]) if i < len(row) and row[i] else np.nan for row in rows]) for i, name in enumerate(header)
    ]
    return {name: np.array(column) for name, column in columns}


def objective(run: Union[PathLike, Run], obs: Any, actions: Any = None, **settings: Any) -> Objective:
    """:meth:`Run.objective` of a run or its folder."""
    return (run if isinstance(run, Run) else Run(run)).objective(obs, actions, **settings)
