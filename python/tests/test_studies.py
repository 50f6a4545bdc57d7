"""Comparisons, sweeps and bounds."""

from fractions import Fraction

import numpy as np
import pytest
from conftest import ACTOR_CRITIC

import hstep

HALF = Fraction(1, 2)
PROBLEM = {
    "gamma": Fraction(9, 10),
    "transition": [[[HALF, HALF], [1, 0]], [[0, 1], [HALF, HALF]]],
    "model": [[[HALF, HALF], [1, 0]], [[0, 1], [1, 0]]],
    "reward": [[0, 1], [HALF, 0]],
}


def test_bounds_are_checked_in_fractions():
    found = hstep.check("mopac-theorem-1", PROBLEM, horizon=2)
    assert found["eps_f"] == HALF and found["gamma"] == Fraction(9, 10) and isinstance(found["gap"], Fraction)
    # V* of the second state: stay for 1/2 a step, or go to the first half the time, where 1 a step is had.
    assert found["v_star"] == [10, Fraction(90, 11)]
    every = hstep.check("all", PROBLEM, horizon=2)
    assert found["result"] in [one["result"] for one in every] and len(every) > 3
    with pytest.raises(hstep.ConfigError, match="did you mean `mopac-theorem-1`"):
        hstep.check("mopac-theorem1", PROBLEM)
    with pytest.raises(hstep.HstepError, match="sum"):
        hstep.check("mopac-theorem-1", {**PROBLEM, "transition": [[[1, 1], [1, 0]], [[0, 1], [HALF, HALF]]]})


def test_a_toy_task_of_gymnasium_is_checked():
    gymnasium = pytest.importorskip("gymnasium")
    lake = gymnasium.make("FrozenLake-v1", map_name="4x4").unwrapped.P
    found = hstep.check("polo-lemma-2", {"gamma": 0.9, "P": lake, "value": [0] * 17}, horizon=3, round=True)
    assert found["corrected_holds"] is True


def test_the_worst_problem_is_searched_for():
    found = hstep.check("mopac-lemma-2", evaluations=2000)
    assert isinstance(found, dict) and found


def test_runs_are_compared(tmp_path):
    runs = [
        hstep.train(algo, "pendulum", steps=100, seed=seed, out=tmp_path, **ACTOR_CRITIC)
        for algo in ["sac", "reinforce"]
        for seed in [0, 1]
        if algo == "sac" or seed == 0
    ]
    found = hstep.compare(runs, last=1)
    by_label = {group["label"]: group for group in found.groups}
    assert len(by_label) == 2
    scores = sorted(by_label["SAC"]["scores"])
    assert np.allclose(scores, sorted(run.metrics["eval_return"][-1] for run in runs[:2]))
    assert len(hstep.compare(tmp_path, last=1).frame()) == 2
    with pytest.raises(hstep.HstepError):
        hstep.compare(tmp_path / "nothing")


def test_a_sweep_is_run_and_its_runs_are_given(tmp_path):
    file = {
        "run": {"steps": 100, "eval": {"every": 100, "episodes": 2}},
        "loop": {"random_steps": 50, "updates_per_step": 1},
        "sweep": {"algos": ["sac"], "envs": ["pendulum"], "seeds": "0..1", "grid": {"gamma": [0.9, 0.99]}},
    }
    runs = hstep.sweep(file, jobs=2, out=tmp_path, name="two")
    assert [(run.config["run"]["seed"], run.config["gamma"]) for run in runs] == [(0, 0.9), (0, 0.99), (1, 0.9), (1, 0.99)]
    assert len(hstep.compare(tmp_path / "two", last=1).groups) == 2
    with pytest.raises(hstep.HstepError, match="sweep.seedz|seedz"):
        hstep.sweep({**file, "sweep": {"seedz": 3}}, out=tmp_path)
