"""A pole that falls: unstable, one point a step while it stands, and the end of the episode where it lies.

Nothing but the end tells a learner that falling is bad. The most an episode brings is 50.
"""

import random

import gymnasium
from gymnasium.spaces import Box

EDGE = 1.2


class Falls(gymnasium.Env):
    """Says nothing of its ends but when they come."""

    observation_space = Box(-1e9, 1e9, (2,))
    action_space = Box(-1.0, 1.0, (1,))

    def observation(self):
        return [self.lean, 1.0]

    def reset(self, seed=None):
        self.random = random.Random(seed)
        self.lean = self.random.uniform(-1.0, 1.0)
        return self.observation(), {}

    def step(self, action):
        self.lean = 1.05 * self.lean + 0.2 * list(action)[0] + self.random.gauss(0.0, 0.02)
        return self.observation(), 1.0, abs(self.lean) > EDGE, False, {}

    def reward(self, unit):
        """Another thing than the bridge looks for: it takes one argument."""
        raise RuntimeError("not to be called")


class Told(Falls):
    """Says of a batch where it ends and what it earns."""

    @staticmethod
    def terminated(obs, action, next_obs):
        return [abs(row[0]) > EDGE for row in next_obs]

    def reward(self, obs, action, next_obs):
        return [10.0 * o[0] + a[0] + 0.1 * n[0] for o, a, n in zip(obs, action, next_obs)]


class Mistold(Falls):
    """Its functions fail as they are told to."""

    action_space = Box(-3.0, 5.0, (1,))

    def __init__(self, how):
        self.how = how

    def terminated(self, obs, action, next_obs):
        if self.how == "raise":
            raise ValueError("which side is up?")
        return {
            "one": abs(next_obs[0][0]) > EDGE,
            "few": [False] * (len(obs) - 1),
            "numbers": [0.5] * len(obs),
            "action": [row[0] > 4.0 for row in action],
        }[self.how]

    def reward(self, obs, action, next_obs):
        return [float("nan")] * len(obs)


gymnasium.register("Falls-v0", Falls, max_episode_steps=50)
gymnasium.register("Told-v0", Told, max_episode_steps=50)
gymnasium.register("Mistold-v0", Mistold, max_episode_steps=50)
