"""Environments of Gymnasium's interface, looked at once before they are used."""

from __future__ import annotations

import copy
import importlib.metadata
import sys
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from . import _hstep
from ._functions import Continuation, Reward, Step
from .errors import ConfigError, EnvError, ShapeError

#: What an environment may be given as: a name, an environment, or what makes one.
EnvLike = Union[str, Any, Callable[[], Any]]


class Described:
    """What the compiled part reads of an environment."""

    def __init__(self, env: Any, functions: Mapping[str, Any], max_steps: Optional[int]) -> None:
        actions, observations = _box(env, "action_space"), _box(env, "observation_space")
        self.env = env
        self.obs_shape = tuple(observations.shape)
        self.obs_dim = int(np.prod(self.obs_shape))
        low, high = np.asarray(actions.low, float).ravel(), np.asarray(actions.high, float).ravel()
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise EnvError(
                f"actions need finite bounds, low below high; got {low} to {high}: wrap the environment in "
                "gymnasium.wrappers.RescaleAction"
            )
        self.low, self.high = low.tolist(), high.tolist()
        self.max_steps = _limit(env, max_steps)
        self.versions = _versions(env)
        self.step = env.step
        kind = np.dtype(getattr(actions, "dtype", None) or np.float64)
        self.float32 = kind == np.float32
        self.action_shape = None if len(actions.shape) == 1 else list(actions.shape)
        reward, terminated = functions.get("reward_fn"), functions.get("terminated_fn")
        self.reward = reward and Reward(reward, self.obs_dim, len(low))
        self.terminated = terminated and Continuation(terminated, self.obs_dim, len(low))

    def reset(self, seed: int) -> List[float]:
        """The first observation of a new episode."""
        result = self.env.reset(seed=seed)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise EnvError(f"`reset` should return (observation, info), got {type(result).__name__}")
        return self._numbers(result[0], "first observation")

    def read(self, result: Any) -> Tuple[List[float], float, bool, bool]:
        """What `step` returned, whatever kinds of numbers it is made of."""
        if not (isinstance(result, tuple) and len(result) == 5):
            got = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
            raise EnvError(
                "`step` should return (observation, reward, terminated, truncated, info), got "
                f"{got}: an environment of the old Gym interface needs gymnasium's converter"
            )
        obs, reward, terminated, truncated, _ = result
        reward = np.asarray(reward)
        if reward.size != 1 or reward.dtype.kind not in "fiub":
            raise EnvError(f"reward should be one number, got shape {list(reward.shape)} of {reward.dtype}")
        return self._numbers(obs, "observation"), float(reward.reshape(())), bool(terminated), bool(truncated)

    def _numbers(self, obs: Any, name: str) -> List[float]:
        array = np.asarray(obs)
        if array.dtype.kind not in "fiub" or array.size != self.obs_dim:
            raise ShapeError(
                f"{name}: expected {list(self.obs_shape)} numbers, got shape {list(array.shape)} of {array.dtype}"
            )
        numbers: List[float] = array.astype(float).ravel().tolist()
        return numbers


def _box(env: Any, name: str) -> Any:
    space = getattr(env, name, None)
    if space is None:
        raise EnvError(f"{type(env).__name__} has no `{name}`: it should be an environment of Gymnasium's interface")
    needed = ["shape"] if name == "observation_space" else ["shape", "low", "high"]
    if getattr(space, "shape", None) is None or any(not hasattr(space, part) for part in needed):
        cure = "discrete actions are not supported"
        if name == "observation_space":
            cure = "gymnasium.wrappers.FlattenObservation makes one array of several"
        raise EnvError(f"`{name}` should be a Box, got {space}: {cure}")
    return space


def _limit(env: Any, given: Optional[int]) -> int:
    """Steps until an episode is cut."""
    limit = given
    inner = env
    while limit is None and inner is not None:
        spec = getattr(inner, "spec", None)
        limit = getattr(spec, "max_episode_steps", None) or getattr(inner, "_max_episode_steps", None)
        inner = getattr(inner, "env", None)
    if limit is None:
        raise ConfigError("this environment says no time limit: give `max_steps`, the most steps of an episode")
    if int(limit) < 1:
        raise ConfigError(f"`max_steps`: expected 1 or more, got {limit}")
    return int(limit)


def _versions(env: Any) -> Dict[str, str]:
    packages = {"numpy", "gymnasium", type(getattr(env, "unwrapped", env)).__module__.split(".")[0]}
    found = {"python": "{}.{}.{}".format(*sys.version_info)}
    for package in sorted(packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


class Source:
    """Where a run's environments come from."""

    def __init__(
        self,
        env: EnvLike,
        *,
        name: Optional[str] = None,
        max_steps: Optional[int] = None,
        dynamics_fn: Optional[Callable[..., Any]] = None,
        **functions: Optional[Callable[..., Any]],
    ) -> None:
        given = {key: f for key, f in functions.items() if f is not None}
        self.maker: Optional[_hstep.Maker] = None
        self.dynamics: Optional[Tuple[Any, int]] = None
        if isinstance(env, str):
            own = {**given, "dynamics_fn": dynamics_fn, "max_steps": max_steps}
            belongs = ", ".join(key for key, value in own.items() if value is not None)
            if belongs:
                bare = env[len("gym:") :] if env.startswith("gym:") else env
                raise ConfigError(
                    f"{belongs} belongs to an environment of this program: give the environment itself, for example "
                    f"`lambda: gymnasium.make({bare!r})`, in place of its name"
                )
            self.name = env
            return
        make, usual = _maker(env)
        self.name = _hstep.IN_PYTHON + (name or usual).replace("/", "-")
        self.maker = _hstep.Maker(self.name, lambda: Described(make(), given, max_steps))
        if dynamics_fn is not None:
            described = Described(make(), given, max_steps)
            sizes = described.obs_dim, len(described.low)
            step = Step(dynamics_fn, *sizes, given.get("reward_fn"), given.get("terminated_fn"))
            self.dynamics = (step, described.obs_dim)


def _maker(env: Any) -> Tuple[Callable[[], Any], str]:
    """What makes fresh environments, and what they are called."""
    if hasattr(env, "step") and hasattr(env, "reset") and not isinstance(env, type):
        spec = getattr(env, "spec", None)
        unwrapped = type(getattr(env, "unwrapped", env)).__qualname__
        first = [env]

        def make() -> Any:
            # The one that was given is trained in; others are its copies.
            if first:
                return first.pop()
            try:
                return copy.deepcopy(env)
            except Exception as error:
                raise EnvError(
                    "evaluating takes a second environment, and this one cannot be copied "
                    f"({type(error).__name__}: {error}): give a function that makes one in its place"
                ) from error

        return make, (spec.id if spec is not None else unwrapped)
    if callable(env):
        name = getattr(env, "__qualname__", type(env).__name__).split(".")[-1]
        return env, ("env" if name == "<lambda>" else name)
    raise ConfigError(f"`env`: expected a name, an environment or a function that makes one, got {type(env).__name__}")
