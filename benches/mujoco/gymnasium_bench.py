#!/usr/bin/env python3
"""Steps a second of Gymnasium's MuJoCo environments, to hold against `hstep bench env`.

    python3 -m venv gym && gym/bin/pip install "gymnasium[mujoco]==1.4.0" mujoco==3.17.0
    gym/bin/python benches/mujoco/gymnasium_bench.py [--seconds S] [NAME...]

One process, one environment, random actions drawn beforehand, a reset where an episode ends; the
median and the best of windows of 0.25 s by the clock, and the median by the processor, as there. Episodes begin with a reset; there they begin from saved states.
"""

import argparse
import statistics
import time

import gymnasium
import numpy as np

NAMES = ["HalfCheetah-v4", "Hopper-v4", "Walker2d-v4", "Ant-v4"]
WINDOW = 0.25
COURSE = 1000
BATCH = 20


def window(env, actions, seconds):
    """Steps a second by the clock and by the processor, over at least `seconds`."""
    start, cpu, done = time.perf_counter(), time.thread_time(), 0
    while True:
        at = done % COURSE
        for action in actions[at:at + BATCH]:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        done += BATCH
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed, done / (time.thread_time() - cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("names", nargs="*", default=NAMES)
    args = parser.parse_args()
    for name in args.names:
        env = gymnasium.make(name)
        env.reset(seed=0)
        box = env.action_space
        rng = np.random.default_rng(0)
        shape = (COURSE, *box.shape)
        actions = rng.uniform(box.low, box.high, shape).astype(np.float32)
        window(env, actions, 0.0)
        rates, start = [], time.perf_counter()
        while not rates or time.perf_counter() - start < args.seconds:
            rates.append(window(env, actions, WINDOW))
        walls, cpus = zip(*rates)
        print(f"ENV {name} gymnasium t1 med {statistics.median(walls):.1f} "
              f"best {max(walls):.1f} percpu {statistics.median(cpus):.1f}", flush=True)


if __name__ == "__main__":
    main()
