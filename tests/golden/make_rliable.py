"""Golden values of the statistics over runs and tasks, made with rliable (Agarwal et al. 2021).

Usage: pip install rliable==1.2.0 "pandas<3"; python make_rliable.py > rliable.json

An end of a bootstrap interval is itself random: each is made REPEATS times with as many rounds as the
test takes, and their mean and standard deviation are written.
"""
import json

import numpy as np
from importlib.metadata import version
from rliable import library, metrics

ROUNDS, REPEATS = 2000, 12
TAUS = [-0.5, 0.0, 0.3, 0.5, 0.9, 1.0, 2.0]

rng = np.random.RandomState(3)


def interval(scores, statistic):
    """Mean and standard deviation of both ends over REPEATS bootstraps."""
    func = lambda *x: np.array([statistic(*x)])
    ends = []
    for seed in range(REPEATS):
        np.random.seed(seed)
        _, cis = library.get_interval_estimates({"x": scores}, func, reps=ROUNDS)
        ends.append(cis["x"][:, 0])
    return {"mean": np.mean(ends, 0).tolist(), "std": np.std(ends, 0, ddof=1).tolist()}


STATISTICS = {
    "mean": metrics.aggregate_mean,
    "median": metrics.aggregate_median,
    "iqm": metrics.aggregate_iqm,
    "gap": metrics.aggregate_optimality_gap,
}


def case(scores):
    return {
        # A row a run, a column a task.
        "scores": scores.tolist(),
        "estimates": {name: float(f(scores)) for name, f in STATISTICS.items()},
        "intervals": {name: interval(scores, f) for name, f in STATISTICS.items()},
        "profile": library.score_distributions(scores, np.array(TAUS)).tolist(),
    }


def pair(x, y):
    f = metrics.probability_of_improvement
    return {"x": x.tolist(), "y": y.tolist(), "estimate": float(f(x, y)), "interval": interval([x, y], f)}


five = np.array([[1.0], [9.0], [-9.0], [2.0], [4.0]])
several = np.round(rng.normal([0.4, 0.9, 0.1], [0.3, 0.5, 0.1], (7, 3)), 3)
many = np.round(rng.gamma(2.0, 0.3, (11, 6)), 3)
# Rounded to a tenth there are ties.
left = np.round(rng.normal(0.6, 0.3, (8, 2)), 1)
right = np.round(rng.normal(0.4, 0.3, (6, 2)), 1)

print(json.dumps({
    "versions": {p: version(p) for p in ["rliable", "arch", "scipy", "numpy"]},
    "rounds": ROUNDS,
    "taus": TAUS,
    "cases": [case(five), case(several), case(many)],
    "pairs": [pair(left, right), pair(right, left), pair(left, left)],
}))
