"""The nine workloads of `hstep bench` in PyTorch, on the CPU.

    python torch_bench.py WORKLOAD VARIANT THREADS SECONDS
    python torch_bench.py - VARIANT THREADS

VARIANT: default (as one writes it first), best (fused Adam, no gradients that nobody reads, rows
grouped by member), compile (best, compiled), medium (best, bf16 inside float32 products), bf16
(plans with all networks in bf16). Prints one line: RESULT workload contender threads med M best B
percpu C. With `-` for the workload it answers lines `WORKLOAD SECONDS` of standard input so, or with a
line ERROR, and keeps what it has built, until the input ends.
"""

import math
import os
import random

import rates

workload, variant, threads, seconds = rates.arguments("default", "best", "compile", "medium", "bf16")
os.environ.setdefault("OMP_NUM_THREADS", str(threads))

import torch  # noqa: E402 (the number of threads must be set before)
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

OBS, ACT, BATCH, WIDTH = 17, 6, 256, 256
MEMBERS, ELITES, MODEL_WIDTH, MODEL_LAYERS = 7, 5, 200, 4
TARGETS = OBS + 1
PLAN_HORIZON, GAMMA, ALPHA, TAU = 15, 0.99, 0.1, 0.005

torch.set_num_threads(threads)
torch.manual_seed(0)
if variant == "medium":
    torch.set_float32_matmul_precision("medium")


def compiled(function):
    return torch.compile(function) if variant == "compile" else function


def adam(parameters, lr=3e-4, weight_decay=0.0):
    fused = {} if variant == "default" else {"fused": True}
    return torch.optim.Adam(list(parameters), lr=lr, weight_decay=weight_decay, **fused)


def frozen(*modules):
    for module in modules:
        module.requires_grad_(False)


class Mlp(nn.Module):
    """Two hidden ReLU layers."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Linear(inputs, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, outputs)

    def forward(self, x):
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


class Critic(Mlp):
    def __init__(self):
        super().__init__(OBS + ACT, 1)

    def forward(self, s, a):
        return super().forward(torch.cat([s, a], 1))


class Policy(nn.Module):
    """The tanh-squashed Gaussian: a sample and its log-density, [B, 1]."""

    def __init__(self):
        super().__init__()
        self.net = Mlp(OBS, 2 * ACT)

    def forward(self, s):
        mean, log_std = self.net(s).chunk(2, 1)
        log_std = log_std.clamp(-5, 2)
        eps = torch.randn_like(mean)
        u = mean + log_std.exp() * eps
        gauss = -0.5 * eps * eps - log_std - 0.5 * math.log(2 * math.pi)
        slope = 2 * (math.log(2) - u - F.softplus(-2 * u))
        return torch.tanh(u), (gauss - slope).sum(1, keepdim=True)


class Ensemble(nn.Module):
    """Mean and softly bounded log-variance of every member, or of one."""

    def __init__(self):
        super().__init__()
        widths = [OBS + ACT] + [MODEL_WIDTH] * MODEL_LAYERS + [2 * TARGETS]
        weight = lambda d, o: nn.Parameter(torch.randn(MEMBERS, d, o) / (2 * math.sqrt(d)))  # noqa: E731
        self.weights = nn.ParameterList([weight(d, o) for d, o in zip(widths, widths[1:])])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(MEMBERS, 1, o)) for o in widths[1:]])
        self.top = nn.Parameter(torch.full((1, TARGETS), 0.5))
        self.bottom = nn.Parameter(torch.full((1, TARGETS), -10.0))

    def forward(self, h, member=None):
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            if member is None:
                h = torch.baddbmm(bias, h, weight)
            else:
                h = torch.addmm(bias[member, 0], h, weight[member])
            if layer < last:
                h = F.silu(h)
        mean, log_var = h[..., :TARGETS], h[..., TARGETS:]
        log_var = self.top - F.softplus(self.top - log_var)
        return mean, self.bottom + F.softplus(log_var - self.bottom)


def sampled(mean, log_var):
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)


def update():
    """SAC: both critics, policy, temperature, target networks."""
    critics, targets = nn.ModuleList([Critic(), Critic()]), nn.ModuleList([Critic(), Critic()])
    targets.load_state_dict(critics.state_dict())
    policy, log_alpha = Policy(), torch.zeros(1, requires_grad=True)
    critic_adam, policy_adam, alpha_adam = (
        adam(critics.parameters()), adam(policy.parameters()), adam([log_alpha]))
    s, s2 = torch.randn(BATCH, OBS), torch.randn(BATCH, OBS)
    a, r = torch.rand(BATCH, ACT) * 2 - 1, torch.randn(BATCH, 1)
    over = torch.zeros(BATCH, 1)
    online, slow = list(critics.parameters()), list(targets.parameters())

    @compiled
    def critic_loss(alpha):
        with torch.no_grad():
            a2, log_prob = policy(s2)
            low = torch.min(targets[0](s2, a2), targets[1](s2, a2))
            y = r + GAMMA * (1 - over) * (low - alpha * log_prob)
        return F.mse_loss(critics[0](s, a), y) + F.mse_loss(critics[1](s, a), y)

    @compiled
    def policy_loss(alpha):
        action, log_prob = policy(s)
        low = torch.min(critics[0](s, action), critics[1](s, action))
        return (alpha * log_prob - low).mean(), log_prob

    def descend(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def step():
        alpha = log_alpha.exp().detach()
        descend(critic_adam, critic_loss(alpha))
        if variant != "default":
            critics.requires_grad_(False)
        loss, log_prob = policy_loss(alpha)
        descend(policy_adam, loss)
        if variant != "default":
            critics.requires_grad_(True)
        descend(alpha_adam, (-log_alpha.exp() * (log_prob.detach() - ACT)).mean())
        with torch.no_grad():
            if variant == "default":
                for target, parameter in zip(slow, online):
                    target.copy_(TAU * parameter + (1 - TAU) * target)
            else:
                torch._foreach_lerp_(slow, online, TAU)

    return step, 1


def fit():
    """One training step of all members and of the bounds."""
    model = Ensemble()
    optimiser = adam(model.parameters(), 1e-3, 1e-5)
    x, y = torch.randn(MEMBERS, BATCH, OBS + ACT), torch.randn(MEMBERS, BATCH, TARGETS)

    @compiled
    def loss():
        mean, log_var = model(x)
        nll = ((mean - y) ** 2 * torch.exp(-log_var) + log_var).mean((1, 2)).sum()
        return nll + 0.01 * (model.top.sum() - model.bottom.sum())

    def step():
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    return step, 1


def branched(rows):
    """One step of the policy through the model, a random one of five elites a row."""
    model, policy, s = Ensemble(), Policy(), torch.randn(rows, OBS)
    every = torch.arange(rows)

    def gathered():
        x = torch.cat([s, policy(s)[0]], 1)
        mean, log_var = model(x.unsqueeze(0).expand(MEMBERS, rows, OBS + ACT))
        member = torch.randint(0, ELITES, (rows,))
        return s + sampled(mean[member, every], log_var[member, every])[:, :OBS]

    def grouped():
        x = torch.cat([s, policy(s)[0]], 1)
        order = torch.randperm(rows)
        counts = torch.bincount(torch.randint(0, ELITES, (rows,)), minlength=ELITES).tolist()
        parts = x[order].split(counts)
        out = torch.empty(rows, TARGETS)
        out[order] = torch.cat([sampled(*model(part, e)) for e, part in enumerate(parts)])
        return s + out[:, :OBS]

    run = gathered if variant == "default" else compiled(grouped)
    return torch.no_grad()(run), rows


def plan(samples, starts):
    """One MPPI plan a start state, every candidate through every member, V at the end."""
    dtype = torch.bfloat16 if variant == "bf16" else torch.float32
    model, value = Ensemble().to(dtype), Mlp(OBS, 1).to(dtype)
    rows, s0 = samples * starts, torch.randn(starts, OBS)

    @compiled
    def run():
        noise = torch.randn(starts, samples, PLAN_HORIZON, ACT)
        actions = (0.5 * noise).clamp(-1, 1).view(rows, PLAN_HORIZON, ACT)
        s = s0[:, None].expand(starts, samples, OBS).reshape(1, rows, OBS)
        s, total = s.expand(MEMBERS, rows, OBS), torch.zeros(MEMBERS, rows)
        for t in range(PLAN_HORIZON):
            a = actions[:, t].unsqueeze(0).expand(MEMBERS, rows, ACT)
            out = model(torch.cat([s, a], 2).to(dtype))[0].float()
            s, total = s + out[..., :OBS], total + out[..., OBS]
        last = value(s.reshape(-1, OBS).to(dtype)).float().view(MEMBERS, rows)
        weights = torch.softmax((total + last).mean(0).view(starts, samples), 1)
        actions = actions.view(starts, samples, PLAN_HORIZON, ACT)
        return (weights[:, :, None, None] * actions).sum(1)

    return torch.no_grad()(run), starts


def actor(horizon):
    """MAAC's actor step: a fresh member a step, the smaller of two Q at the end."""
    model, policy, first, second = Ensemble(), Policy(), Critic(), Critic()
    optimiser, s0 = adam(policy.parameters()), torch.randn(BATCH, OBS)
    frozen(model, first, second)

    @compiled
    def loss(members):
        s, total = s0, 0.0
        for t in range(horizon):
            a, log_prob = policy(s)
            out = sampled(*model(torch.cat([s, a], 1), members[t]))
            total = total + GAMMA**t * (out[:, OBS:] - ALPHA * log_prob)
            s = s + out[:, :OBS]
        a, log_prob = policy(s)
        last = torch.min(first(s, a), second(s, a)) - ALPHA * log_prob
        return -(total + GAMMA**horizon * last).mean()

    def step():
        # A compiled function is compiled again for every other list of members.
        fixed = variant == "compile"
        value = loss([0 if fixed else random.randrange(MEMBERS) for _ in range(horizon)])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    return step, 1


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

# Networks in bf16 are for the plans.
if variant == "bf16":
    WORKLOADS = {name: build for name, build in WORKLOADS.items() if name.startswith("d")}
rates.run(workload, f"torch-{variant}", threads, seconds, WORKLOADS)
