"""Small runs for the tests: seconds, not minutes."""

import gymnasium
import numpy as np
import pytest

import hstep

#: Small networks, few updates.
ACTOR_CRITIC = {
    "actor.hidden": [16],
    "critic.hidden": [16],
    "loop.batch": 32,
    "loop.random_steps": 50,
    "loop.updates_per_step": 1,
    "run.eval.every": 100,
    "run.eval.episodes": 2,
}
MODEL_BASED = {
    **ACTOR_CRITIC,
    "model.hidden": [16],
    "model.members": 2,
    "model.elites": 1,
    "model.weight_decay": [],
    "imagine.starts": 50,
}


class Cart(gymnasium.Env):
    """A cart that is pushed along a line, and falls off its ends."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self):
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-0.5, 0.5, 2)
        return self.x.astype(np.float32), {}

    def step(self, action):
        assert action.shape == (1,) and action.dtype == np.float32
        self.steps += 1
        self.x = self.x + 0.1 * np.array([self.x[1], action[0]])
        ends = bool(abs(self.x[0]) > 2.0)
        return self.x.astype(np.float32), 1.0 - float(self.x[0] ** 2), ends, False, {}


def reward(obs, action, next_obs):
    return 1.0 - next_obs[:, 0] ** 2


def terminated(obs, action, next_obs):
    return abs(next_obs[:, 0]) > 2.0


@pytest.fixture(scope="session")
def sac(tmp_path_factory):
    """A short run of SAC on the pendulum."""
    return hstep.train("sac", "pendulum", steps=200, out=tmp_path_factory.mktemp("sac"), **ACTOR_CRITIC)


@pytest.fixture(scope="session")
def mbpo(tmp_path_factory):
    """A short run of MBPO on the pendulum."""
    return hstep.train("mbpo", "pendulum", steps=200, out=tmp_path_factory.mktemp("mbpo"), **MODEL_BASED)
