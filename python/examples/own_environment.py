"""An environment of one's own, with ends: trained, interrupted, gone on with, drawn."""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np

import hstep


class Ball(gymnasium.Env):
    """A ball on a beam, tilted by the action; it falls off the ends."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-0.5, 0.5, 2)
        return self.x.astype(np.float32), {}

    def step(self, action):
        self.x += 0.1 * np.array([self.x[1], 2.0 * action[0] + 0.5 * self.x[0]])
        fell = bool(abs(self.x[0]) > 1.0)
        return self.x.astype(np.float32), 1.0 - self.x[0] ** 2, fell, False, {}


# Small networks for a small task; without these the paper's own.
small = {"actor.hidden": [64, 64], "critic.hidden": [64, 64], "actor.lr": 1e-3, "critic.lr": 1e-3, "loop.updates_per_step": 5}
small |= {"model.hidden": [64, 64], "model.members": 3, "model.elites": 2, "model.weight_decay": [], "imagine.starts": 200}
small |= {"loop.random_steps": 200, "loop.fit_every": 200, "run.eval.every": 200, "run.eval.episodes": 5}
small["model.learn_termination"] = True  # the model learns where episodes end, too
run = hstep.train("mbpo", Ball, max_steps=100, steps=1000, callback=lambda row: row["env_steps"] < 400, **small)
run = hstep.resume(run)  # ended by its callback
print("returns", run.metrics["eval_return"].round(1))

plt.plot(run.metrics["env_steps"], run.metrics["eval_return"])
plt.savefig("ball.png")
