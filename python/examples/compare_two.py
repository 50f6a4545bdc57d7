"""Two settings over five seeds, with intervals and a figure."""

import sys

import matplotlib.pyplot as plt
import numpy as np

import hstep

study = {
    "run": {"steps": int(sys.argv[1]) if len(sys.argv) > 1 else 3000, "eval": {"every": 500, "episodes": 5}},
    "sweep": {"algos": ["sac"], "envs": ["pendulum"], "seeds": "0..4", "grid": {"gamma": [0.9, 0.99]}},
}
runs = hstep.sweep(study, jobs=2, name="discounts")
found = hstep.compare(runs, last=2)
for group in found.groups:
    print(group["label"], "IQM", round(group["iqm"]["value"]), group["iqm"]["interval"])

for gamma in (0.9, 0.99):
    curves = np.array([run.metrics["eval_return"] for run in runs if run.config["gamma"] == gamma])
    steps = runs[0].metrics["env_steps"]
    plt.plot(steps, curves.mean(axis=0), label=f"gamma = {gamma}")
    plt.fill_between(steps, curves.min(axis=0), curves.max(axis=0), alpha=0.2)
plt.xlabel("environment steps")
plt.ylabel("return")
plt.legend(title="mean and range of 5 seeds")
plt.savefig("discounts.png")
