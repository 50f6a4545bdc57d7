"""Writes mujoco/*.csv and *.json: trajectories of Gymnasium's MuJoCo environments.

    python3 -m venv gym && gym/bin/pip install "gymnasium[mujoco]==1.4.0" mujoco==3.17.0
    gym/bin/python tests/golden/make_mujoco.py

Every task runs 1,000 steps from one start. Actions come from the generator in `Lcg`, which the test
has too, as multiples of 2^-24 of the range in single precision. Where an episode terminates it goes
on from the same start; no clock truncates. A row of the CSV is a step: a hash of the observation's
bytes (FNV-1a, 32 bits), the reward, whether it terminated. The JSON has the start, the range of
actions, and some observations in full: the first and, then, as many as keep the file small.

Cosines and sines are computed by another mathematical library here and there, so their last bit may
differ: the columns in `TRIGONOMETRIC` are left out of the hash.
"""

import datetime
import json
import pathlib
import platform

import gymnasium
import mujoco
import numpy as np

HERE = pathlib.Path(__file__).parent / "mujoco"
STEPS = 1000
SEED = 20_260

NAMES = ["HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "HumanoidStandup",
         "InvertedPendulum", "InvertedDoublePendulum", "Reacher", "Pusher", "Swimmer"]
TRIGONOMETRIC = {"Reacher": range(0, 4), "InvertedDoublePendulum": range(1, 5)}
# An action of the whole range is thrown about so wildly that these would end within a few steps.
SCALE = {"InvertedPendulum": 0.02, "InvertedDoublePendulum": 0.05}


class Lcg:
    """Numbers in [-1, 1), multiples of 2^-23: x <- 6364136223846793005 x + 1442695040888963407."""

    def __init__(self, seed):
        self.x = seed

    def __call__(self):
        self.x = (6364136223846793005 * self.x + 1442695040888963407) % 2**64
        return np.float32((self.x >> 40) * 2.0**-23 - 1.0)


def fnv(data):
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def restart(env, start):
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(*start)
    return env._get_obs()


def write(name, version):
    task = f"{name}-{version}"
    env = gymnasium.make(task).unwrapped
    env.reset(seed=SEED)
    start = env.data.qpos.copy(), env.data.qvel.copy()
    hashed = [i for i in range(env.observation_space.shape[0])
              if i not in TRIGONOMETRIC.get(name, ())]
    # At most some 3,000 numbers a file.
    every = max(50, 50 * round(len(hashed) / 3000 * 20))
    limit = env.action_space.high * np.float32(SCALE.get(name, 1.0))
    obs = restart(env, start)
    full = {0: obs.tolist()}
    lcg, rows = Lcg(SEED), []
    for step in range(1, STEPS + 1):
        action = np.array([lcg() * most for most in limit], dtype=np.float32)
        obs, reward, terminated, truncated, _ = env.step(action)
        assert obs.dtype == np.float64 and not truncated
        if step % every == 0:
            full[step] = obs.tolist()
        rows.append(f"{fnv(obs[hashed].tobytes()):08x},{float(reward):.12g},{int(terminated)}\n")
        if terminated:
            restart(env, start)
    (HERE / f"{task}.csv").write_text("".join(rows))
    header = {
        "environment": task, "seed": SEED, "scale": SCALE.get(name, 1.0),
        "low": [float(x) for x in env.action_space.low],
        "high": [float(x) for x in env.action_space.high],
        "max_steps": gymnasium.spec(task).max_episode_steps,
        "unhashed": list(TRIGONOMETRIC.get(name, ())),
        "qpos": start[0].tolist(), "qvel": start[1].tolist(),
        "observations": full,
    }
    (HERE / f"{task}.json").write_text(json.dumps(header) + "\n")


def main():
    HERE.mkdir(exist_ok=True)
    refused = {}
    for name in NAMES:
        for version in ("v4", "v5"):
            try:
                write(name, version)
            except ImportError as error:
                refused[f"{name}-{version}"] = str(error).split(",")[0]
    provenance = {
        "made_by": "python tests/golden/make_mujoco.py",
        "date": datetime.date.today().isoformat(),
        "gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
        "machine": platform.machine(), "refused": refused,
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    main()
