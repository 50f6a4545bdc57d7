"""Planners alone, against closed forms."""

import numpy as np
import pytest

import hstep

A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])
Q, R, H = np.diag([1.0, 0.1]), 0.1, 12


class Linear:
    """A linear system with a quadratic cost, and its gradient."""

    def __call__(self, s, a):
        reward = -np.einsum("bi,ij,bj->b", s, Q, s) - R * (a**2).sum(axis=1)
        return s @ A.T + a @ B.T, reward

    def vjp(self, of, at):
        (s, a), (at_next, at_reward) = of, at
        return at_next @ A - 2 * at_reward[:, None] * (s @ Q), at_next @ B - 2 * R * at_reward[:, None] * a


def riccati(s0):
    """The best return over H steps, with the cost-to-go of LQR at the end, and its first action."""
    p, gain = P, None
    for _ in range(H):
        gain = np.linalg.solve(R * np.eye(1) + B.T @ p @ B, B.T @ p @ A)
        p = Q + A.T @ p @ (A - B @ gain)
    return -s0 @ p @ s0, -gain @ s0


P = np.diag([3.0, 1.0])
S0 = np.array([1.0, -0.5])


def terminal(s):
    return -np.einsum("bi,ij,bj->b", s, P, s)


terminal.vjp = lambda of, at: (-2 * at[:, None] * (of[0] @ P),)


def test_gradient_ascent_finds_the_riccati_solution():
    best, first = riccati(S0)
    plan = hstep.plan.gradient(Linear(), S0, H, low=[-5.0], high=[5.0], terminal=terminal, steps=500, lr=0.05)
    assert plan.value == pytest.approx(best, rel=1e-3)
    assert np.allclose(plan.first, first, atol=0.05)


def test_sampling_planners_come_near_to_it_and_their_parts_fit():
    best, _ = riccati(S0)
    given = {"low": [-5.0], "high": [5.0], "terminal": terminal, "rng": 1}
    for planner, own, most in [
        (hstep.plan.cem, {"samples": 400, "iterations": 12}, 0.05),
        (hstep.plan.mppi, {"samples": 2000, "iterations": 5, "temperature": 0.2, "noise": 0.3}, 0.5),
        (hstep.plan.mirror, {"samples": 2000}, 3.0),
    ]:
        plan = planner(Linear(), S0, H, **given, **own)
        state, value = S0[None], 0.0
        for action in plan.actions:
            state, reward = Linear()(state, action[None])
            value += reward[0]
        value += terminal(state)[0]
        assert best - most * abs(best) < value <= best + 1e-6, (planner.__name__, value, best)
        k = len(plan.returns)
        assert plan.samples.shape == (k, H, 1) and plan.weights.sum() == pytest.approx(1.0)
        assert plan.effective_samples == pytest.approx(1 / (plan.weights**2).sum())


def test_weights_are_those_of_their_equation():
    plan = hstep.plan.mppi(
        Linear(), S0, 3, low=[-1], high=[1], samples=50, temperature=0.3, temperature_kind="absolute", terminal=terminal
    )
    returns = []
    for actions in plan.samples:
        state, value = S0[None], 0.0
        for action in actions:
            state, reward = Linear()(state, action[None])
            value += reward[0]
        returns.append(value + terminal(state)[0])
    assert np.allclose(returns, plan.returns)
    weights = np.exp((plan.returns - plan.returns.max()) / 0.3)
    assert np.allclose(plan.weights, weights / weights.sum())
    assert plan.log_normaliser == pytest.approx(np.log(np.mean(np.exp(plan.returns / 0.3))))


def test_batches_do_not_see_each_other():
    batch = np.array([S0, -S0, 2 * S0])
    given = {"low": [-5.0], "high": [5.0], "rng": 4, "samples": 64}
    together = hstep.plan.mppi(Linear(), batch, H, **given)
    assert together.actions.shape == (3, H, 1)
    assert np.allclose(together.actions[0], hstep.plan.mppi(Linear(), S0, H, **given).actions)
    again = hstep.plan.mppi(Linear(), batch, H, start=together.shifted(), **given)
    assert (again.value > hstep.plan.mppi(Linear(), batch, H, start=np.full((H, 1), 5.0), **given).value).all()


def test_an_environment_that_can_be_set_is_a_model():
    pendulum = hstep.Simulator("pendulum")
    states = pendulum.reset(3, seed=1)
    following, reward, ends = pendulum.step(states, np.zeros((3, 1)))
    assert following.shape == (3, pendulum.state_dim) and (reward < 0).all() and not ends.any()
    assert pendulum.observe(states[0]).shape == (3,)
    plan = hstep.plan.cem(pendulum, states, 10, samples=50)
    assert plan.first.shape == (3, 1) and abs(plan.actions).max() <= 2.0
    state, value = states[0], 0.0
    for action in plan.actions[0]:
        state, gained, _ = pendulum.step(state, action)
        value += gained
    still = states[0]
    for _ in range(10):
        still, gained, _ = pendulum.step(still, [0.0])
        value -= gained
    assert value >= 0.0
    assert np.allclose(hstep.plan.cem("pendulum", states, 10, samples=50).actions, plan.actions)
    with pytest.raises(hstep.ConfigError, match="own bounds"):
        hstep.plan.cem(pendulum, states, 10, low=[-1])
    with pytest.raises(hstep.ConfigError, match="did you mean"):
        hstep.Simulator("pendulm")


def test_wrong_models_are_named():
    with pytest.raises(hstep.ConfigError, match="give `low` and `high`"):
        hstep.plan.mppi(Linear(), S0, 3)
    with pytest.raises(hstep.ConfigError, match="low below high"):
        hstep.plan.mppi(Linear(), S0, 3, low=[1], high=[-1])
    bounds = {"low": [-1], "high": [1]}
    with pytest.raises(hstep.EnvError, match="give `reward_fn`|returns next states alone"):
        hstep.plan.mppi(lambda s, a: s, S0, 3, **bounds)
    with pytest.raises(hstep.ShapeError, match=r"should return shape \[100, 2\]"):
        hstep.plan.mppi(lambda s, a: (s[:, 0], s[:, 0]), S0, 3, **bounds)
    with pytest.raises(ZeroDivisionError):
        hstep.plan.mppi(lambda s, a: 1 / 0, S0, 3, **bounds)
    with pytest.raises(hstep.EnvError, match="has no gradient"):
        hstep.plan.gradient(lambda s, a: (s, s[:, 0]), S0, 3, **bounds)
    with pytest.raises(hstep.NonFiniteError):
        hstep.plan.mppi(lambda s, a: (s, np.full(len(s), np.nan)), S0, 3, **bounds)
    with pytest.raises(hstep.HstepError, match="horizon"):
        hstep.plan.mppi(Linear(), S0, 0, **bounds)
    with pytest.raises(hstep.ShapeError, match="start"):
        hstep.plan.mppi(Linear(), S0, 3, start=np.zeros((3, 2)), **bounds)
    with pytest.raises(hstep.HstepError, match="base sequence|start"):
        hstep.plan.mppi(Linear(), S0, 3, start=np.zeros((4, 1)), **bounds)


def test_functions_of_jax_are_models_with_gradients():
    jax = pytest.importorskip("jax")

    @hstep.autodiff.jax
    def step(s, a):
        reward = -jax.numpy.einsum("bi,ij,bj->b", s, Q, s) - R * (a**2).sum(axis=1)
        return s @ A.T + a @ B.T, reward

    worth = hstep.autodiff.jax(lambda s: -jax.numpy.einsum("bi,ij,bj->b", s, P, s))
    given = {"low": [-5.0], "high": [5.0], "steps": 200, "lr": 0.05}
    theirs = hstep.plan.gradient(step, S0, H, terminal=worth, **given)
    ours = hstep.plan.gradient(Linear(), S0, H, terminal=terminal, **given)
    assert np.allclose(theirs.actions, ours.actions, atol=2e-3)


def test_functions_of_torch_are_models_with_gradients():
    torch = pytest.importorskip("torch")
    a, b, q, p = (torch.tensor(x, dtype=torch.float32) for x in (A, B, Q, P))
    step = hstep.autodiff.torch(
        lambda s, x: (s @ a.T + x @ b.T, -torch.einsum("bi,ij,bj->b", s, q, s) - R * (x**2).sum(dim=1))
    )
    worth = hstep.autodiff.torch(lambda s: -torch.einsum("bi,ij,bj->b", s, p, s))
    given = {"low": [-5.0], "high": [5.0], "steps": 200, "lr": 0.05}
    theirs = hstep.plan.gradient(step, S0, H, terminal=worth, **given)
    ours = hstep.plan.gradient(Linear(), S0, H, terminal=terminal, **given)
    assert np.allclose(theirs.actions, ours.actions, atol=2e-3)
