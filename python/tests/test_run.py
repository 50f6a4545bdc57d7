"""What a run has learned, as arrays."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import MODEL_BASED

import hstep

OBS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -2.0], [-1.0, 0.0, 5.0]])


def test_policy_is_batched_and_within_the_bounds(sac):
    modes = sac.policy(OBS)
    assert modes.shape == (3, 1) and modes.dtype == np.float64 and abs(modes).max() <= 2.0
    assert np.array_equal(sac.policy(OBS[1]), modes[1])
    samples = sac.policy(OBS, rng=3)
    assert np.array_equal(samples, sac.policy(OBS, rng=3)) and not np.array_equal(samples, modes)
    rng = np.random.default_rng(0)
    assert not np.array_equal(sac.policy(OBS, rng), sac.policy(OBS, rng))
    many = sac.policy(np.tile(OBS[:1], (4000, 1)), rng=1)
    assert many.std() > 0.1 and abs(many).max() <= 2.0


def test_values_of_a_critic(sac):
    action = np.array([[0.5], [-2.0], [2.0]])
    members = sac.q(OBS, action, members=True)
    assert members.shape == (2, 3) and np.array_equal(sac.q(OBS, action), members.min(axis=0))
    assert np.isclose(sac.q(OBS[0], action[0]), members[:, 0].min())
    assert np.allclose(sac.value(OBS), sac.q(OBS, sac.policy(OBS)), atol=1e-5)


def test_arrays_are_checked(sac):
    for wrong in [np.zeros(4), np.zeros((2, 2)), np.zeros((1, 1, 3)), 1.0, [["a", "b", "c"]], [[1], [2, 3]], [1j, 0, 0]]:
        with pytest.raises(hstep.ShapeError, match="`obs`"):
            sac.policy(wrong)
    with pytest.raises(hstep.NonFiniteError, match="NaN"):
        sac.policy([np.nan, 0.0, 0.0])
    with pytest.raises(hstep.HstepError):
        sac.q(OBS, np.zeros((2, 1)))
    # Other layouts and number types mean the same.
    modes = sac.policy(OBS)
    assert np.array_equal(sac.policy(np.asfortranarray(OBS)), modes)
    assert np.array_equal(sac.policy(np.repeat(OBS, 2, axis=1)[:, ::2]), modes)
    assert np.array_equal(sac.policy(OBS.astype(np.float32)), modes)
    assert np.array_equal(sac.policy(OBS.astype(int)), modes)
    assert sac.policy(np.zeros((0, 3))).shape == (0, 1)


def test_parts_that_a_run_lacks_are_named(sac):
    with pytest.raises(hstep.HstepError, match="model"):
        sac.model.step(OBS, np.zeros((3, 1)))
    with pytest.raises(hstep.HstepError, match="model"):
        sac.plan(OBS)
    assert sac.about["parts"] == ["policy", "critic"]


def test_a_model_steps_and_rolls_out(mbpo):
    action = np.zeros((3, 1))
    mean = mbpo.model.step(OBS, action)
    assert mean.next_obs.shape == (3, 3) and mean.reward.shape == (3,) and not mean.terminated.any()
    assert np.allclose(mbpo.model.step(OBS[1], action[1]).next_obs, mean.next_obs[1], atol=1e-6)
    first = mbpo.model.step(OBS, action, rng=1)
    assert np.array_equal(first.next_obs, mbpo.model.step(OBS, action, rng=1).next_obs)
    assert not np.array_equal(first.next_obs, mbpo.model.step(OBS, action, rng=2).next_obs)
    rollout = mbpo.model.rollout(OBS, horizon=4)
    assert rollout.states.shape == (3, 5, 3) and rollout.actions.shape == (3, 4, 1) and rollout.rewards.shape == (3, 4)
    assert np.allclose(rollout.actions[:, 0], mbpo.policy(OBS), atol=1e-5)
    again = mbpo.model.rollout(OBS, rollout.actions)
    assert np.allclose(again.states, rollout.states, atol=1e-4)


def test_the_objective_is_the_sum_of_a_rollout_and_its_gradient_the_difference(mbpo):
    actions = np.random.default_rng(0).uniform(-1, 1, (3, 4, 1))
    found = mbpo.objective(OBS, actions, horizon=4, gamma=0.9, terminal="zero")
    rollout = mbpo.model.rollout(OBS, actions)
    assert np.allclose(found.value, rollout.rewards @ 0.9 ** np.arange(4), atol=1e-4)
    step = 1e-2
    for t in range(4):
        up, down = actions.copy(), actions.copy()
        up[:, t] += step
        down[:, t] -= step
        value = [mbpo.objective(OBS, x, horizon=4, gamma=0.9, terminal="zero").value for x in (up, down)]
        difference = (value[0] - value[1]) / (2 * step)
        assert np.allclose(found.at_actions[:, t, 0], difference, rtol=0.05, atol=5e-3)
    assert hstep.objective(mbpo, OBS, horizon=2).value.shape == (3,)
    assert np.allclose(mbpo.objective(OBS, horizon=0).value, mbpo.value(OBS), atol=1e-4)
    with pytest.raises(hstep.ConfigError, match="terminal"):
        mbpo.objective(OBS, terminal="v")
    with pytest.raises(hstep.ShapeError, match="actions"):
        mbpo.objective(OBS, np.zeros((3, 4, 2)), horizon=4)


def test_plans_in_a_model_are_better_than_its_policy(mbpo):
    for planner in ["mppi", "cem", "mirror", "gradient"]:
        plan = mbpo.plan(OBS, planner, 5, terminal="zero")
        assert plan.first.shape == (3, 1) and abs(plan.actions).max() <= 2.0
        assert np.allclose(plan.weights.sum(axis=1), 1.0)
    still = np.zeros((3, 5, 1))
    plan = mbpo.plan(OBS, "cem", 5, terminal="zero", samples=300, start=still, samples__members="mean")
    values = [mbpo.objective(OBS, x, horizon=5, terminal="zero").value for x in (plan.actions, still)]
    assert (values[0] > values[1]).all()
    start = plan.shifted()
    assert start.shape == (3, 5, 1)
    assert mbpo.plan(OBS, "mppi", 5, terminal="zero", start=start).mean.shape == (3, 5, 1)
    with pytest.raises(hstep.ConfigError, match="expected `cem`"):
        mbpo.plan(OBS, "annealing")
    with pytest.raises(hstep.ConfigError, match="smaples"):
        mbpo.plan(OBS, smaples=3)
    with pytest.raises(hstep.ConfigError, match="horizon"):
        mbpo.plan(OBS, horizon=2.5)


def test_evaluations_are_those_of_the_command_line(sac):
    found = sac.evaluate(3)
    line = [sys.executable, "-m", "hstep", "eval", str(sac.path), "--episodes", "3", "--json"]
    said = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    assert np.allclose(found.returns, said["returns"]) and found.mean == pytest.approx(said["return"])
    assert not np.array_equal(found.returns, sac.evaluate(3, seed=5).returns)


def test_a_folder_that_is_none_is_refused(tmp_path, sac):
    with pytest.raises(hstep.HstepError, match="no run|config.toml|not a run"):
        hstep.Run(tmp_path)
    with pytest.raises(hstep.HstepError):
        hstep.Run(tmp_path / "nothing")
    damaged = tmp_path / "damaged"
    subprocess.run(["cp", "-r", str(sac.path), str(damaged)], check=True)
    for file in pathlib.Path(damaged, "ckpt").rglob("*"):
        if file.is_file():
            file.write_bytes(b"nothing")
    with pytest.raises(hstep.CheckpointError):
        hstep.Run(damaged).policy(OBS)


def test_metrics_are_columns(mbpo):
    metrics = mbpo.metrics
    assert list(metrics["env_steps"]) == [0.0, 100.0, 200.0] and np.isnan(metrics["critic_loss"][0])
    frame = mbpo.frame()
    assert list(frame.columns) == list(metrics) and len(frame) == 3
    assert mbpo.config["model"]["hidden"] == MODEL_BASED["model.hidden"]
    assert "mbpo on pendulum, seed 0" in repr(mbpo)
