"""Settings as TOML, which is what configurations are written in."""

from __future__ import annotations

import json
from typing import Any, List, Mapping

import numpy as np

from .errors import ConfigError


def toml(value: Any, key: str) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v, f'{key}.{k}')}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(toml(v, key) for v in value) + "]"
    raise ConfigError(f"`{key}`: expected a number, a word, a list or a table, got {type(value).__name__}")


def assignments(settings: Mapping[str, Any]) -> List[str]:
    """``{"improve.horizon": 3}``, or ``improve__horizon=3``, as ``improve.horizon=3``."""
    dotted = ((key.replace("__", "."), value) for key, value in settings.items())
    return [f"{key}={toml(value, key)}" for key, value in dotted]


def table(settings: Mapping[str, Any]) -> str:
    """A nested table as TOML."""
    return "\n".join(f"{json.dumps(str(key))} = {toml(value, str(key))}" for key, value in settings.items())
