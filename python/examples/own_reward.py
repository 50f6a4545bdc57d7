"""A reward and ends of one's own inside the learned model: only the dynamics are learned."""

import gymnasium
import numpy as np

import hstep


def reward(obs, action, next_obs):
    """The pendulum's reward: upright, still, and without force. Batches in, [B] out."""
    angle = np.arctan2(obs[:, 1], obs[:, 0])
    return -(angle**2 + 0.1 * obs[:, 2] ** 2 + 0.001 * action[:, 0] ** 2)


def never(obs, action, next_obs):
    return np.zeros(len(obs), bool)


# Small networks for a small task; without these the paper's own.
small = {"actor.hidden": [64, 64], "critic.hidden": [64, 64], "actor.lr": 1e-3, "critic.lr": 1e-3, "loop.updates_per_step": 5}
small |= {"model.hidden": [64, 64], "model.members": 3, "model.elites": 2, "model.weight_decay": [], "imagine.starts": 200}
small |= {"loop.random_steps": 200, "loop.fit_every": 200, "run.eval.every": 200, "run.eval.episodes": 5}
run = hstep.train(
    "mbpo", lambda: gymnasium.make("Pendulum-v1"), name="pendulum", steps=2400, reward_fn=reward, terminated_fn=never, **small
)
print("returns", run.metrics["eval_return"].round())

obs = np.array([np.cos(0.3), np.sin(0.3), 0.0])
step = run.model.step(obs, [1.0])
print("model ", step.next_obs.round(3), round(float(step.reward), 3))
env = gymnasium.make("Pendulum-v1").unwrapped
env.reset()
env.state = np.array([0.3, 0.0])
following, gained, *_ = env.step(np.array([1.0]))
print("truth ", following.round(3), round(float(gained), 3))
