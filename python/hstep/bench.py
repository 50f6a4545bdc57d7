"""What a step costs."""

from __future__ import annotations

from typing import Any

from ._arrays import Array
from ._env import EnvLike, Source
from .errors import ConfigError


def step_seconds(env: EnvLike, steps: int = 100_000, **given: Any) -> Array:
    """Seconds of each of so many steps of an environment of this process, as a run takes them, ``[steps]``."""
    maker = Source(env, **given).maker
    if maker is None:
        raise ConfigError("`env`: expected an environment of this program")
    return maker.time_steps(steps)
