"""A trained policy, loaded from its run folder and rolled out in Gymnasium."""

import sys

import gymnasium
import numpy as np

import hstep

if len(sys.argv) > 1:
    run = hstep.Run(sys.argv[1])
else:
    own = {"loop.random_steps": 200, "run.eval.every": 500, "run.eval.episodes": 5}
    run = hstep.train("sac", "pendulum", steps=2000, **own)
print(run)

env = gymnasium.make("Pendulum-v1")
returns = []
for episode in range(10):
    obs, _ = env.reset(seed=episode)
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(run.policy(obs).astype(np.float32))
        total, over = total + float(reward), terminated or truncated
    returns.append(total)
print(f"{np.mean(returns):.0f} on average of {len(returns)} episodes")
