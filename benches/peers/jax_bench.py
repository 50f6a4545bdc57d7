"""The nine workloads of `hstep bench` in JAX with optax, on the CPU.

    python jax_bench.py WORKLOAD VARIANT THREADS SECONDS
    python jax_bench.py - VARIANT THREADS

VARIANT: default, or grp (branched rollouts in equal groups, one an elite, of randomly ordered
rows). Prints one line: RESULT workload contender threads med M best B percpu C. With `-` for the
workload it answers lines `WORKLOAD SECONDS` of standard input so, or with a line ERROR, and keeps
what it has compiled, until the input ends.
"""

import math
import os
from functools import partial

import rates

workload, variant, threads, seconds = rates.arguments("default", "grp")
os.environ["JAX_PLATFORMS"] = "cpu"
# The size of XLA's pool of threads.
os.environ["NPROC"] = str(threads)
if threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax  # noqa: E402 (the settings must be there before)
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

OBS, ACT, BATCH, WIDTH = 17, 6, 256, 256
MEMBERS, ELITES, MODEL_WIDTH, MODEL_LAYERS = 7, 5, 200, 4
TARGETS = OBS + 1
PLAN_HORIZON, GAMMA, ALPHA, TAU = 15, 0.99, 0.1, 0.005

_key = jax.random.PRNGKey(0)


def key():
    global _key
    _key, fresh = jax.random.split(_key)
    return fresh


def normals(*shape):
    return jax.random.normal(key(), shape)


def linear(inputs, outputs):
    bound = 1 / math.sqrt(inputs)
    weights = jax.random.uniform(key(), (inputs, outputs), minval=-bound, maxval=bound)
    return {"w": weights, "b": jnp.zeros(outputs)}


def mlp(inputs, outputs):
    return [linear(inputs, WIDTH), linear(WIDTH, WIDTH), linear(WIDTH, outputs)]


def apply(layers, x):
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def q(critic, s, a):
    return apply(critic, jnp.concatenate([s, a], 1))


def low_q(critics, s, a):
    return jnp.minimum(q(critics[0], s, a), q(critics[1], s, a))


def act(policy, s, noise):
    """A sample of the tanh-squashed Gaussian and its log-density, [B, 1]."""
    mean, log_std = jnp.split(apply(policy, s), 2, axis=1)
    log_std = jnp.clip(log_std, -5, 2)
    eps = jax.random.normal(noise, mean.shape)
    u = mean + jnp.exp(log_std) * eps
    gauss = -0.5 * eps * eps - log_std - 0.5 * math.log(2 * math.pi)
    slope = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
    return jnp.tanh(u), (gauss - slope).sum(1, keepdims=True)


def ensemble():
    widths = [OBS + ACT] + [MODEL_WIDTH] * MODEL_LAYERS + [2 * TARGETS]
    pairs = list(zip(widths, widths[1:]))
    return {
        "w": [normals(MEMBERS, d, o) / (2 * math.sqrt(d)) for d, o in pairs],
        "b": [jnp.zeros((MEMBERS, 1, o)) for _, o in pairs],
        "top": jnp.full((1, TARGETS), 0.5),
        "bottom": jnp.full((1, TARGETS), -10.0),
    }


def predict(model, h, member=None):
    """Mean and softly bounded log-variance of every member, or of one."""
    for layer in range(MODEL_LAYERS + 1):
        w, b = model["w"][layer], model["b"][layer]
        h = jnp.matmul(h, w) + b if member is None else jnp.matmul(h, w[member]) + b[member]
        if layer < MODEL_LAYERS:
            h = jax.nn.silu(h)
    mean, log_var = h[..., :TARGETS], h[..., TARGETS:]
    log_var = model["top"] - jax.nn.softplus(model["top"] - log_var)
    return mean, model["bottom"] + jax.nn.softplus(log_var - model["bottom"])


def sampled(mean, log_var, noise):
    return mean + jnp.exp(0.5 * log_var) * jax.random.normal(noise, mean.shape)


def repeated(function, *state):
    """A step that hands the state (its last part a key) on and waits for it."""
    held = [jax.tree.map(lambda x: jnp.array(x, copy=True), state)]

    def step():
        held[0] = function(*held[0])
        jax.block_until_ready(held[0])

    # The state's own types differ from those that come back, so it compiles more than once.
    for _ in range(3):
        step()
    return step


def update():
    """SAC: both critics, policy, temperature, target networks."""
    critics, policy, log_alpha = [mlp(OBS + ACT, 1), mlp(OBS + ACT, 1)], mlp(OBS, 2 * ACT), jnp.zeros(())
    adam = optax.adam(3e-4)
    s, s2, r = normals(BATCH, OBS), normals(BATCH, OBS), normals(BATCH, 1)
    a = jax.random.uniform(key(), (BATCH, ACT), minval=-1)
    over = jnp.zeros((BATCH, 1))

    def descend(loss, parameters, state, **options):
        found = jax.grad(loss, **options)(parameters)
        gradient, extra = found if options else (found, None)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(parameters, change), state, extra

    @partial(jax.jit, donate_argnums=(0, 1, 2, 3, 4, 5, 6))
    def run(critics, targets, policy, log_alpha, critic_state, policy_state, alpha_state, k):
        k, for_target, for_policy = jax.random.split(k, 3)
        alpha = jnp.exp(log_alpha)
        a2, log_prob = act(policy, s2, for_target)
        y = r + GAMMA * (1 - over) * (low_q(targets, s2, a2) - alpha * log_prob)

        def critic_loss(critics):
            return sum(((q(critic, s, a) - y) ** 2).mean() for critic in critics)

        def policy_loss(policy):
            action, log_prob = act(policy, s, for_policy)
            return (alpha * log_prob - low_q(critics, s, action)).mean(), log_prob

        critics, critic_state, _ = descend(critic_loss, critics, critic_state)
        policy, policy_state, log_prob = descend(policy_loss, policy, policy_state, has_aux=True)
        alpha_loss = lambda l: (-jnp.exp(l) * (log_prob - ACT)).mean()  # noqa: E731
        log_alpha, alpha_state, _ = descend(alpha_loss, log_alpha, alpha_state)
        targets = jax.tree.map(lambda p, t: TAU * p + (1 - TAU) * t, critics, targets)
        return critics, targets, policy, log_alpha, critic_state, policy_state, alpha_state, k

    states = (adam.init(critics), adam.init(policy), adam.init(log_alpha))
    return repeated(run, critics, critics, policy, log_alpha, *states, key()), 1


def fit():
    """One training step of all members and of the bounds."""
    model = ensemble()
    adam = optax.chain(optax.add_decayed_weights(1e-5), optax.adam(1e-3))
    x, y = normals(MEMBERS, BATCH, OBS + ACT), normals(MEMBERS, BATCH, TARGETS)

    def loss(model):
        mean, log_var = predict(model, x)
        nll = ((mean - y) ** 2 * jnp.exp(-log_var) + log_var).mean((1, 2)).sum()
        return nll + 0.01 * (model["top"].sum() - model["bottom"].sum())

    @partial(jax.jit, donate_argnums=(0, 1))
    def run(model, state):
        change, state = adam.update(jax.grad(loss)(model), state, model)
        return optax.apply_updates(model, change), state

    return repeated(run, model, adam.init(model)), 1


def branched(rows):
    """One step of the policy through the model, a random one of five elites a row."""
    model, policy, s = ensemble(), mlp(OBS, 2 * ACT), normals(rows, OBS)

    @jax.jit
    def gathered(_, k):
        k, for_policy, for_member, for_model = jax.random.split(k, 4)
        x = jnp.concatenate([s, act(policy, s, for_policy)[0]], 1)
        mean, log_var = predict(model, x[None].repeat(MEMBERS, 0))
        member, every = jax.random.randint(for_member, (rows,), 0, ELITES), jnp.arange(rows)
        out = sampled(mean[member, every], log_var[member, every], for_model)
        return s + out[:, :OBS], k

    elites = {
        "w": [w[:ELITES] for w in model["w"]],
        "b": [b[:ELITES] for b in model["b"]],
        "top": model["top"],
        "bottom": model["bottom"],
    }

    @jax.jit
    def grouped(_, k):
        k, for_policy, for_order, for_model = jax.random.split(k, 4)
        x = jnp.concatenate([s, act(policy, s, for_policy)[0]], 1)
        order = jax.random.permutation(for_order, rows)
        out = predict(elites, x[order].reshape(ELITES, rows // ELITES, OBS + ACT))
        out = sampled(*out, for_model).reshape(rows, TARGETS)
        return s + jnp.zeros((rows, TARGETS)).at[order].set(out)[:, :OBS], k

    return repeated(gathered if variant == "default" else grouped, s, key()), rows


def plan(samples, starts):
    """One MPPI plan a start state, every candidate through every member, V at the end."""
    model, value, s0 = ensemble(), mlp(OBS, 1), normals(starts, OBS)
    rows = samples * starts
    mean = jnp.zeros((starts, PLAN_HORIZON, ACT))

    @jax.jit
    def run(_, k):
        k, for_actions = jax.random.split(k)
        noise = jax.random.normal(for_actions, (starts, samples, PLAN_HORIZON, ACT))
        actions = jnp.clip(mean[:, None] + 0.5 * noise, -1, 1).reshape(rows, PLAN_HORIZON, ACT)
        s = jnp.broadcast_to(s0[:, None], (starts, samples, OBS)).reshape(1, rows, OBS)

        def one(carry, a):
            s, total = carry
            a = jnp.broadcast_to(a[None], (MEMBERS, rows, ACT))
            out, _ = predict(model, jnp.concatenate([s, a], 2))
            return (s + out[..., :OBS], total + out[..., OBS]), None

        first = (s.repeat(MEMBERS, 0), jnp.zeros((MEMBERS, rows)))
        (s, total), _ = jax.lax.scan(one, first, actions.transpose(1, 0, 2))
        total = total + apply(value, s.reshape(-1, OBS)).reshape(MEMBERS, rows)
        weights = jax.nn.softmax(total.mean(0).reshape(starts, samples), 1)
        actions = actions.reshape(starts, samples, PLAN_HORIZON, ACT)
        return (weights[:, :, None, None] * actions).sum(1), k

    return repeated(run, mean, key()), starts


def actor(horizon):
    """MAAC's actor step: a fresh member a step, the smaller of two Q at the end."""
    model, policy = ensemble(), mlp(OBS, 2 * ACT)
    critics, adam, s0 = [mlp(OBS + ACT, 1), mlp(OBS + ACT, 1)], optax.adam(3e-4), normals(BATCH, OBS)

    @partial(jax.jit, donate_argnums=(0, 1))
    def run(policy, state, k):
        k, own = jax.random.split(k)

        def loss(policy):
            s, total = s0, 0.0
            for t in range(horizon):
                for_policy, for_model, for_member = jax.random.split(jax.random.fold_in(own, t), 3)
                a, log_prob = act(policy, s, for_policy)
                member = jax.random.randint(for_member, (), 0, MEMBERS)
                out = predict(model, jnp.concatenate([s, a], 1), member)
                out = sampled(*out, for_model)
                total = total + GAMMA**t * (out[:, OBS:] - ALPHA * log_prob)
                s = s + out[:, :OBS]
            a, log_prob = act(policy, s, jax.random.fold_in(own, horizon))
            last = low_q(critics, s, a) - ALPHA * log_prob
            return -(total + GAMMA**horizon * last).mean()

        change, state = adam.update(jax.grad(loss)(policy), state)
        return optax.apply_updates(policy, change), state, k

    return repeated(run, policy, adam.init(policy), key()), 1


WORKLOADS = {
    "a": update,
    "b": fit,
    "c10k": lambda: branched(10_000),
    "c100k": lambda: branched(100_000),
    "d100": lambda: plan(100, 1),
    "d500": lambda: plan(500, 1),
    "d64": lambda: plan(100, 64),
    "e5": lambda: actor(5),
    "e10": lambda: actor(10),
}

rates.run(workload, f"jax-{variant}", threads, seconds, WORKLOADS)
