"""Writes mujoco/ball-in-cup.csv and .json: a trajectory of the control suite's ball in a cup.

    python3 -m venv dmc && dmc/bin/pip install dm_control==1.0.50 mujoco==3.17.0
    dmc/bin/python tests/golden/make_dm_control.py

500 steps from one start; actions come from the generator in `make_mujoco.py`, as multiples of 2^-23. A
row of the CSV is a step: a hash of the bytes of positions and velocities (FNV-1a, 32 bits), and the
reward. The JSON has the start and every 50th observation in full.
"""

import datetime
import json
import pathlib
import platform

import dm_control
import mujoco
import numpy as np
from dm_control import suite

HERE = pathlib.Path(__file__).parent / "mujoco"
STEPS = 500
SEED = 20_260


def lcg(seed):
    while True:
        seed = (6364136223846793005 * seed + 1442695040888963407) % 2**64
        yield float(np.float32((seed >> 40) * 2.0**-23 - 1.0))


def fnv(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def observed(step):
    return np.concatenate([step.observation["position"], step.observation["velocity"]])


# The ball of this seed is in the cup for a while.
env = suite.load("ball_in_cup", "catch", task_kwargs={"random": 14, "time_limit": 20})
first = env.reset()
qpos = env.physics.data.qpos.copy().tolist()
full = {0: observed(first).tolist()}
numbers, rows = lcg(SEED), []
for i in range(1, STEPS + 1):
    step = env.step(np.array([next(numbers), next(numbers)]))
    obs = observed(step)
    if i % 50 == 0:
        full[i] = obs.tolist()
    rows.append(f"{fnv(obs.tobytes()):08x},{step.reward:g}\n")
(HERE / "ball-in-cup.csv").write_text("".join(rows))
header = {
    "qpos": qpos,
    "seed": SEED,
    "provenance": {
        "script": "tests/golden/make_dm_control.py",
        "mujoco": mujoco.__version__,
        "dm_control": dm_control.__version__ if hasattr(dm_control, "__version__") else "1.0.50",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "date": datetime.date.today().isoformat(),
    },
    "observations": full,
}
(HERE / "ball-in-cup.json").write_text(json.dumps(header, indent=1) + "\n")
