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


class Pixels:
    """As much of an array of numpy as the bridge asks of a picture."""

    dtype = "uint8"

    def __init__(self, rows):
        self.shape = (len(rows), len(rows[0]), 3)
        self.rows = rows

    def tobytes(self):
        return bytes(part for row in self.rows for pixel in row for part in pixel)


class Seen(Falls):
    """Shows where it leans: a dark column in a picture of 40 by 20, where pictures are asked for."""

    def __init__(self, render_mode=None, wrong=""):
        self.render_mode, self.wrong = render_mode, wrong

    def render(self):
        if self.wrong == "none":
            return None
        at = min(max(int(20 + 10 * self.lean), 0), 39)
        return Pixels([[(20, 30, 60) if x == at else (230, 230, 230) for x in range(40)] for _ in range(20)])


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
gymnasium.register("Seen-v0", Seen, max_episode_steps=50)
gymnasium.register("Told-v0", Told, max_episode_steps=50)
gymnasium.register("Mistold-v0", Mistold, max_episode_steps=50)
