"""Writes the golden episodes of Gymnasium's classic control tasks beside this file.

    pip install gymnasium==1.4.0
    python tests/golden/make_gymnasium.py

Every episode starts at a recorded physical state and is replayed from recorded actions, in the
environment's own units. Gymnasium computes in the number type of the action, so episodes come with
float32 actions (what its action spaces sample) and with float64 ones.
"""

import csv
import datetime
import json
import pathlib
import platform

import gymnasium
import numpy as np

SEED = 20240611
HERE = pathlib.Path(__file__).parent

# name, Gymnasium's name, greatest action, [(kind, dtype, reset seed)]
TASKS = [
    ("pendulum", "Pendulum-v1", 2.0, [
        ("random", "float32", 0), ("held", "float32", 1), ("random", "float64", 2),
        ("zero", "float32", 3), ("max", "float32", 4), ("min", "float32", 5),
        ("beyond", "float64", 6), ("pump", "float32", 7),
    ]),
    ("mountain-car", "MountainCarContinuous-v0", 1.0, [
        ("random", "float32", 0), ("held", "float32", 1), ("held", "float64", 2),
        ("zero", "float32", 3), ("pump", "float32", 4), ("pump", "float64", 5),
        ("weak pump", "float32", 6), ("beyond", "float32", 7),
    ]),
]


def action(kind, limit, t, held, velocity, rng):
    """The next action as a float: `pump` pushes along the velocity."""
    if kind == "random":
        return rng.uniform(-limit, limit)
    if kind == "held":
        return rng.uniform(-limit, limit) if t % 15 == 0 else held
    if kind == "beyond":
        return rng.uniform(-2 * limit, 2 * limit) if t % 5 == 0 else held
    if kind == "pump":
        return np.copysign(limit, velocity)
    if kind == "weak pump":
        return np.copysign(0.6 * limit, velocity)
    return {"zero": 0.0, "max": limit, "min": -limit}[kind]


def episode(env, limit, kind, dtype, seed, rng):
    obs, _ = env.reset(seed=seed)
    start = [float(x) for x in env.unwrapped.state]
    steps, held, ended = [], 0.0, False
    while not ended:
        held = action(kind, limit, len(steps), held, obs[-1], rng)
        given = np.array([held], dtype=dtype)
        obs, reward, terminated, truncated, _ = env.step(given)
        steps.append((given[0], obs, float(reward), terminated, truncated))
        ended = terminated or truncated
    return start, steps


def main():
    rng = np.random.default_rng(SEED)
    for name, gym_name, limit, kinds in TASKS:
        env = gymnasium.make(gym_name)
        header = []
        with open(HERE / f"{name}.csv", "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            for index, (kind, dtype, seed) in enumerate(kinds):
                start, steps = episode(env, limit, kind, dtype, seed, rng)
                header.append({"kind": kind, "dtype": dtype, "reset_seed": seed,
                               "start": start, "steps": len(steps)})
                for given, obs, reward, terminated, truncated in steps:
                    # str() of a NumPy scalar is the shortest text that reads back exactly.
                    out.writerow([index, str(given), *map(str, obs), f"{reward:.11g}",
                                  int(terminated), int(truncated)])
        provenance = {
            "made_by": "python tests/golden/make_gymnasium.py",
            "environment": gym_name, "seed": SEED,
            "date": datetime.date.today().isoformat(),
            "gymnasium": gymnasium.__version__, "numpy": np.__version__,
            "python": platform.python_version(), "machine": platform.machine(),
            "columns": ["episode", "action", "obs...", "reward", "terminated", "truncated"],
            "episodes": header,
        }
        (HERE / f"{name}.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    main()
