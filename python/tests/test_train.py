"""Training from Python: the same run as from the command line, and nothing lost whatever happens."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import weakref

import gymnasium
import numpy as np
import pytest
from conftest import ACTOR_CRITIC, MODEL_BASED, Cart, reward, terminated

import hstep

HERE = pathlib.Path(__file__).parent


def command(*arguments):
    """The command line; the binary of `HSTEP_BIN` where there is one."""
    own = os.environ.get("HSTEP_BIN")
    line = [own] if own else [sys.executable, "-m", "hstep"]
    return subprocess.run([*line, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def settings(of):
    from hstep._settings import assignments

    return assignments(of)


@pytest.mark.parametrize("algo, own", [("sac", ACTOR_CRITIC), ("mbpo", MODEL_BASED)])
def test_a_run_is_that_of_the_command_line(algo, own, tmp_path):
    run = hstep.train(algo, "pendulum", seed=3, steps=200, out=tmp_path / "a", **own)
    place = ["--seed", "3", "--steps", "200", "--out", str(tmp_path / "b")]
    path = pathlib.Path(command("train", algo, "--env", "pendulum", *place, *settings(own)))
    assert path.name == run.path.name
    for file in ["metrics.csv", "config.toml"]:
        assert (path / file).read_bytes() == (run.path / file).read_bytes()


def test_a_run_on_mujoco_is_that_of_the_command_line(tmp_path):
    try:
        hstep.Simulator("InvertedPendulum-v4")
    except hstep.HstepError:
        pytest.skip("MuJoCo is not set up here")
    own = {**ACTOR_CRITIC, "run.eval.episodes": 1}
    run = hstep.train("sac", "InvertedPendulum-v4", steps=200, out=tmp_path / "a", **own)
    place = ["--steps", "200", "--out", str(tmp_path / "b")]
    path = pathlib.Path(command("train", "sac", "--env", "InvertedPendulum-v4", *place, *settings(own)))
    assert (path / "metrics.csv").read_bytes() == (run.path / "metrics.csv").read_bytes()


def test_the_environment_may_be_an_object_a_class_or_a_function(tmp_path):
    rows = []
    runs = [
        hstep.train(
            "sac", env, steps=100, max_steps=50, name="cart", out=tmp_path / str(i), callback=rows.append, **ACTOR_CRITIC
        )
        for i, env in enumerate([Cart(), Cart, lambda: Cart()])
    ]
    texts = {(run.path / "metrics.csv").read_text() for run in runs}
    assert len(texts) == 1 and runs[0].config["run"]["env"] == "py:cart"
    assert [row["env_steps"] for row in rows] == [0.0, 100.0] * 3
    assert rows[1]["eval_return"] == runs[0].metrics["eval_return"][1]


BRIDGE = """
import gymnasium, hstep, registered
known = {"steps": 100, **registered.ACTOR_CRITIC}
a = hstep.train("sac", lambda: gymnasium.make("Cart-v0"), name="cart", out="a", **known)
b = hstep.train("sac", "gym:registered:Cart-v0", out="b", **known)
assert (a.path / "metrics.csv").read_bytes() == (b.path / "metrics.csv").read_bytes()
"""


def test_it_learns_as_through_a_process_of_its_own(tmp_path):
    made = "\ngymnasium.register('Cart-v0', Cart, max_episode_steps=50)\n"
    (tmp_path / "registered.py").write_text((HERE / "conftest.py").read_text() + made)
    env = os.environ | {"HSTEP_PYTHON": sys.executable, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run([sys.executable, "-c", BRIDGE], cwd=tmp_path, check=True, env=env, timeout=300)


def test_settings_of_a_table_and_a_file(tmp_path):
    own = {"base": "mbpo", "improve": {"horizon": 2}, "target": {"kind": "td0"}}
    run = hstep.train(own, "pendulum", steps=100, out=tmp_path, **MODEL_BASED)
    assert run.config["run"]["algo"] == "own" and run.config["improve"]["horizon"] == 2
    (tmp_path / "mine.toml").write_text('base = "mbpo"\nimprove.horizon = 2\n')
    other = hstep.train(tmp_path / "mine.toml", "pendulum", steps=100, out=tmp_path, **MODEL_BASED)
    assert other.config["run"]["algo"] == "mine"


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(hstep.ConfigError, match="did you mean `mbpo`"):
        hstep.train("mbop", "pendulum", out=tmp_path)
    with pytest.raises(hstep.ConfigError, match="did you mean `improve.horizon`"):
        hstep.train("maac", "pendulum", out=tmp_path, improve__horizn=3)
    with pytest.raises(hstep.ConfigError, match="`improve.horizon`: expected a number"):
        hstep.train("maac", "pendulum", out=tmp_path, improve__horizon=object())
    with pytest.raises(hstep.ConfigError, match="belongs to an environment of this program"):
        hstep.train("mbpo", "pendulum", out=tmp_path, reward_fn=reward)
    with pytest.raises(hstep.ConfigError, match="max_steps"):
        hstep.train("sac", Cart, out=tmp_path)
    with pytest.raises(hstep.EnvError, match="discrete actions"):
        hstep.train("sac", lambda: gymnasium.make("CartPole-v1"), out=tmp_path)
    with pytest.raises(hstep.ConfigError, match="expected a name"):
        hstep.train("sac", 3, out=tmp_path)
    assert not any(tmp_path.iterdir())


class Wrong(Cart):
    """Answers with ``answer`` at its 70th step."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def step(self, action):
        result = super().step(action)
        return self.answer(result) if self.steps == 70 else result


@pytest.mark.parametrize(
    "answer, error, text",
    [
        (lambda r: (np.zeros(3), *r[1:]), hstep.ShapeError, r"expected \[2\] numbers, got shape \[3\]"),
        (lambda r: (np.array(["a", "b"]), *r[1:]), hstep.ShapeError, "numbers"),
        (lambda r: (np.full(2, np.nan), *r[1:]), hstep.NonFiniteError, "observation.0. is nan"),
        (lambda r: (r[0], np.nan, *r[2:]), hstep.NonFiniteError, "reward"),
        (lambda r: (r[0], np.ones(2), *r[2:]), hstep.EnvError, "reward should be one number"),
        (lambda r: r[:4], hstep.EnvError, "old Gym interface"),
        (lambda r: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_a_wrong_answer_of_an_environment_ends_the_run_and_loses_nothing(answer, error, text, tmp_path):
    known = {"max_steps": 50, "name": "cart", "out": tmp_path, "steps": 200, **ACTOR_CRITIC}
    with pytest.raises(error, match=text):
        hstep.train("sac", lambda: Wrong(answer), **known)
    run = hstep.train("sac", Cart, **known)
    assert list(run.metrics["env_steps"]) == [0.0, 100.0, 200.0]


def test_answers_of_other_kinds_are_understood(tmp_path):
    class Odd(Cart):
        """Lists, integers, arrays of one number, views that are not contiguous."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2, 1), np.float64)

        def reset(self, *, seed=None, options=None):
            obs, info = super().reset(seed=seed)
            return np.stack([obs, obs], axis=1)[:, :1], info

        def step(self, action):
            obs, reward, ends, cut, info = super().step(action)
            wide = np.repeat(np.asarray(obs, float)[:, None], 2, axis=1)
            return wide[:, :1], np.array([reward]), np.bool_(ends), 0, info

    run = hstep.train("sac", Odd, max_steps=50, steps=100, out=tmp_path / "a", name="c", **ACTOR_CRITIC)
    usual = hstep.train("sac", Cart, max_steps=50, steps=100, out=tmp_path / "b", name="c", **ACTOR_CRITIC)
    assert (run.path / "metrics.csv").read_text() == (usual.path / "metrics.csv").read_text()


def test_an_environment_that_cannot_be_copied_says_so(tmp_path):
    env = Cart()
    env.lock = threading.Lock()
    with pytest.raises(hstep.EnvError, match="give a function that makes one"):
        hstep.train("sac", env, max_steps=50, steps=100, out=tmp_path, **ACTOR_CRITIC)


def test_rewards_and_ends_as_functions(tmp_path):
    seen = []

    def own(obs, action, next_obs):
        seen.append((obs.shape, action.shape, next_obs.shape, obs.dtype, float(abs(action).max())))
        return reward(obs, action, next_obs)

    known = {"max_steps": 50, "steps": 200, "out": tmp_path, **MODEL_BASED}
    run = hstep.train("mbpo", Cart, reward_fn=own, terminated_fn=terminated, **known)
    assert run.config["model"]["learn_reward"] is False
    shapes = {x[:4] for x in seen}
    assert all(a[0] == b[0] == c[0] and (a[1], b[1], c[1]) == (2, 1, 2) for a, b, c, _ in shapes)
    # In the environment's units.
    assert 1.0 < max(x[4] for x in seen) <= 2.0
    with pytest.raises(hstep.ShapeError, match=r"`reward_fn` should return shape \[\d+\]"):
        hstep.train("mbpo", Cart, seed=1, reward_fn=lambda o, a, n: n, **known)
    with pytest.raises(KeyError, match="mine"):
        hstep.train("mbpo", Cart, seed=2, reward_fn=lambda o, a, n: {}["mine"], **known)
    with pytest.raises(hstep.EnvError, match="True or False"):
        hstep.train("mbpo", Cart, seed=3, terminated_fn=lambda o, a, n: n[:, 0], **known)
    with pytest.raises(hstep.EnvError, match="has no gradient"):
        hstep.train("maac", Cart, seed=4, reward_fn=reward, **known)


def test_dynamics_of_ones_own(tmp_path):
    def dynamics(obs, action):
        return obs + 0.1 * np.column_stack([obs[:, 1], action[:, 0]])

    known = {"max_steps": 50, "steps": 200, "out": tmp_path, **MODEL_BASED}
    run = hstep.train("mbpo", Cart, dynamics_fn=dynamics, reward_fn=reward, terminated_fn=terminated, **known)
    step = run.model.step([0.5, -1.0], [2.0])
    assert np.allclose(step.next_obs, [0.4, -0.8]) and np.isclose(step.reward, 1 - 0.4**2) and not step.terminated
    assert run.model.step([[1.95, 1.0]], [[0.0]]).terminated.all()
    with pytest.raises(hstep.EnvError, match="give `reward_fn`"):
        hstep.train("mbpo", Cart, seed=1, dynamics_fn=dynamics, **known)


class Linear:
    """The cart's dynamics and reward with their gradients."""

    a, b = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])

    def __call__(self, obs, action):
        following = obs @ self.a.T + action @ self.b.T
        return following, 1.0 - following[:, 0] ** 2

    def vjp(self, of, at):
        (obs, action), (at_next, at_reward) = of, at
        following = obs @ self.a.T + action @ self.b.T
        at_next = at_next.copy()
        at_next[:, 0] -= 2 * following[:, 0] * at_reward
        return at_next @ self.a, at_next @ self.b


def test_gradients_go_through_dynamics_of_ones_own(tmp_path):
    known = {"max_steps": 50, "steps": 200, "out": tmp_path, **MODEL_BASED}
    run = hstep.train("maac", Cart, dynamics_fn=Linear(), **known)
    actions = np.array([[[0.3], [-0.2], [0.1]]])
    found = run.objective([[0.2, 0.1]], actions, horizon=3, terminal="zero", gamma=0.9)

    def j(state, actions):
        total, f = 0.0, Linear()
        for t, action in enumerate(actions):
            state, reward = f(state[None], action[None])
            state, total = state[0], total + 0.9**t * reward[0]
        return total

    state = np.array([0.2, 0.1])
    assert np.isclose(found.value[0], j(state, actions[0]), atol=1e-6)
    for t in range(3):
        e = np.zeros_like(actions[0])
        e[t] = 1e-5
        difference = (j(state, actions[0] + e) - j(state, actions[0] - e)) / 2e-5
        assert np.isclose(found.at_actions[0, t, 0], difference, atol=1e-4)
    e = np.array([1e-5, 0.0])
    assert np.isclose(found.at_states[0, 0], (j(state + e, actions[0]) - j(state - e, actions[0])) / 2e-5, atol=1e-4)


def test_a_callback_ends_a_run_or_raises_and_nothing_is_lost(tmp_path):
    known = {"max_steps": 50, "out": tmp_path, "steps": 300, "name": "cart", **ACTOR_CRITIC}

    def angry(row):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        hstep.train("sac", Cart, callback=angry, **known)
    run = hstep.train("sac", Cart, callback=lambda row: row["env_steps"] < 100, **known)
    assert run.about["env_steps"] == 100
    assert list(hstep.resume(run).metrics["env_steps"]) == [0.0, 100.0, 200.0, 300.0]


def test_a_run_that_is_gone_on_with_is_that_which_was_not_ended(tmp_path):
    own = {"steps": 300, **MODEL_BASED}
    whole = hstep.train("mbpo", "pendulum", out=tmp_path / "a", **own)
    part = hstep.train("mbpo", "pendulum", out=tmp_path / "b", callback=lambda row: row["env_steps"] < 200, **own)
    assert part.about["env_steps"] == 200
    ended = hstep.resume(part.path)
    assert (ended.path / "metrics.csv").read_bytes() == (whole.path / "metrics.csv").read_bytes()
    longer = hstep.resume(ended, steps=400)
    assert longer.metrics["env_steps"][-1] == 400
    with pytest.raises(hstep.ConfigError, match="another run|gamma"):
        hstep.resume(ended, gamma=0.5)
    weights = hstep.train("mbpo", "pendulum", out=tmp_path / "c", start_from=ended, **own)
    assert weights.config["run"]["from"] == str(ended.path)


def test_an_environment_of_a_program_is_to_be_given_again(tmp_path):
    run = hstep.train("sac", Cart, max_steps=50, steps=100, out=tmp_path, **ACTOR_CRITIC)
    with pytest.raises(hstep.ConfigError, match="give it as `env`"):
        hstep.resume(run.path)
    with pytest.raises(hstep.ConfigError, match="give it as `env`"):
        hstep.Run(run.path).policy([0.0, 0.0])
    again = hstep.Run(run.path, Cart, max_steps=50)
    assert again.policy([0.0, 0.0]).shape == (1,)
    assert hstep.resume(run.path, Cart, max_steps=50, steps=200).metrics["env_steps"][-1] == 200
    with pytest.raises(subprocess.CalledProcessError) as raised:
        command("resume", str(run.path))
    assert "lives in a Python program" in raised.value.stderr


INTERRUPTED = """
import os, signal, sys
import conftest, hstep

def ctrl_c(row):
    if row["env_steps"] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGINT)

def during(obs, action, next_obs):
    # Once, in the middle of an update.
    if sys.argv[2] == "update" and not os.path.exists("once"):
        open("once", "w").close()
        os.kill(os.getpid(), signal.SIGINT)
    return conftest.reward(obs, action, next_obs)

class Cart(conftest.Cart):
    taken = 0

    def step(self, action):
        # The first evaluation takes at most 100.
        Cart.taken += 1
        if sys.argv[2] == "step" and Cart.taken == 150:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(action)

own = dict(conftest.MODEL_BASED)
try:
    callback = ctrl_c if sys.argv[2].isdigit() else None
    hstep.train("mbpo", Cart, steps=300, max_steps=50, out=sys.argv[1], reward_fn=during, callback=callback, **own)
except KeyboardInterrupt as error:
    print(type(error).__name__, error)
    sys.exit(130)
"""


@pytest.mark.parametrize("moment", ["0", "200", "update", "step"])
def test_ctrl_c_saves_and_raises(moment, tmp_path):
    env = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    line = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "runs"), moment]
    done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
    assert done.returncode == 130, done.stderr
    [folder] = (tmp_path / "runs" / "train").iterdir()
    before = hstep.Run(folder, Cart, max_steps=50, reward_fn=reward).about["env_steps"]
    assert before >= {"200": 200, "step": 40, "update": 50}.get(moment, 0)
    run = hstep.resume(folder, Cart, max_steps=50, reward_fn=reward)
    assert list(run.metrics["env_steps"]) == [0.0, 100.0, 200.0, 300.0]


def test_two_runs_in_threads_are_those_one_after_the_other(tmp_path):
    def train(place, seed, into):
        into[seed] = hstep.train("mbpo", "pendulum", seed=seed, steps=200, out=place, **MODEL_BASED)

    alone, beside = {}, {}
    for seed in [0, 1]:
        train(tmp_path / "a", seed, alone)
    threads = [threading.Thread(target=train, args=(tmp_path / "b", seed, beside)) for seed in [0, 1]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in [0, 1]:
        texts = [(runs[seed].path / "metrics.csv").read_bytes() for runs in (alone, beside)]
        assert texts[0] == texts[1]


def test_the_interpreter_is_free_while_a_run_computes(tmp_path):
    counted, over = [0], threading.Event()

    def count():
        while not over.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    rows = []
    hstep.train("sac", "pendulum", steps=200, out=tmp_path, callback=lambda row: rows.append(counted[0]), **ACTOR_CRITIC)
    over.set()
    thread.join()
    assert rows[0] < rows[1] < rows[2]


def test_one_folder_is_not_trained_twice_at_once(tmp_path):
    known = {"steps": 200, "out": tmp_path, **ACTOR_CRITIC}

    def again(row):
        with pytest.raises(hstep.HstepError, match="in use|another process|locked"):
            hstep.train("sac", "pendulum", **known)

    hstep.train("sac", "pendulum", callback=again, **known)


FORK = """
import os, sys
import conftest, hstep

def run(seed):
    return hstep.train("mbpo", "pendulum", steps=200, seed=seed, out=sys.argv[1], **conftest.MODEL_BASED)

run(0)  # the threads are there
child = os.fork()
if child == 0:
    run(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
run(2)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_computes_with_threads_of_its_own(tmp_path):
    env = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run([sys.executable, "-c", FORK, str(tmp_path)], check=True, env=env, timeout=300)
    assert len(list((tmp_path / "train").iterdir())) == 3


def test_what_is_not_needed_any_more_is_collected(tmp_path):
    made = []

    class Seen(Cart):
        def __init__(self):
            super().__init__()
            made.append(weakref.ref(self))

    def collect(row):
        gc.collect()

    run = hstep.train("sac", Seen, max_steps=50, steps=200, out=tmp_path, callback=collect, **ACTOR_CRITIC)
    assert run.evaluate(2).lengths.max() <= 50
    assert made and any(x() is not None for x in made)
    del run
    gc.collect()
    assert all(x() is None for x in made)
