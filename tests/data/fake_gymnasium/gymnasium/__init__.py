"""A stand-in for the package of this name: as much of its interface as the bridge meets.

The tests of the bridge need no more than a bare Python with it.
"""

import importlib

from . import spaces

__all__ = ["Env", "make", "register", "spaces"]

REGISTRY = {}


class Env:
    spec = None

    @property
    def unwrapped(self):
        return self

    def close(self):
        pass


class Spec:
    def __init__(self, id, entry_point, max_episode_steps):
        self.id, self.entry_point = id, entry_point
        self.max_episode_steps = max_episode_steps


class TimeLimit(Env):
    def __init__(self, env, spec):
        self.env, self.spec, self.steps = env, spec, 0
        self.observation_space, self.action_space = env.observation_space, env.action_space

    @property
    def render_mode(self):
        return getattr(self.env, "render_mode", None)

    def render(self):
        return self.env.render()

    def reset(self, seed=None):
        self.steps = 0
        return self.env.reset(seed=seed)

    def step(self, action):
        result = self.env.step(action)
        self.steps += 1
        if isinstance(result, tuple) and len(result) == 5:
            obs, reward, terminated, truncated, info = result
            truncated = truncated or self.steps >= self.spec.max_episode_steps
            return obs, reward, terminated, truncated, info
        return result

    @property
    def unwrapped(self):
        return self.env

    def close(self):
        self.env.close()


def register(id, entry_point, max_episode_steps=None):
    REGISTRY[id] = Spec(id, entry_point, max_episode_steps)


def make(id, max_episode_steps=None, **kwargs):
    module, _, name = id.rpartition(":")
    if module:
        importlib.import_module(module)
    if name not in REGISTRY:
        raise KeyError(f"Environment `{name}` doesn't exist.")
    known = REGISTRY[name]
    env = known.entry_point(**kwargs)
    limit = max_episode_steps or known.max_episode_steps
    env.spec = Spec(name, known.entry_point, limit)
    return TimeLimit(env, env.spec) if limit else env
