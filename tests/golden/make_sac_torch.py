"""Golden values of SAC's actor loss, its gradient and its critic target, made with torch.

Usage: python make_sac_torch.py > sac_torch.json
Written from Haarnoja et al. 2018 (arXiv 1812.05905, eq. 5-7 and appendix C), in torch.float64.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
B, O, A = 6, 3, 2
ALPHA, GAMMA = 0.37, 0.97


def stack(sizes, members):
    return {
        name: (torch.randn(members, *shape) * 0.6).requires_grad_()
        for i, (d, o) in enumerate(zip(sizes[:-1], sizes[1:]))
        for name, shape in ((f"l{i}.w", (d, o)), (f"l{i}.b", (o,)))
    }


def forward(net, x, member):
    layers = len(net) // 2
    for i in range(layers):
        x = x @ net[f"l{i}.w"][member] + net[f"l{i}.b"][member]
        if i + 1 < layers:
            x = F.relu(x)
    return x


def sample(net, obs, eps):
    mean, log_std = forward(net, obs, 0).chunk(2, dim=1)
    log_std = log_std.clamp(-20, 2)
    u = mean + log_std.exp() * eps
    a = torch.tanh(u)
    log_prob = (-0.5 * eps**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
    log_prob = log_prob - (2 * (math.log(2) - u - F.softplus(-2 * u))).sum(1)
    return a, log_prob


def q_of(net, obs, act, member):
    return forward(net, torch.cat([obs, act], 1), member).squeeze(1)


policy = stack([O, 5, 4, 2 * A], 1)
q = stack([O + A, 5, 4, 1], 2)
target = stack([O + A, 5, 4, 1], 2)
obs, next_obs = torch.randn(B, O), torch.randn(B, O)
eps, next_eps = torch.randn(B, A), torch.randn(B, A)
reward, cont = torch.randn(B), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])

action, log_prob = sample(policy, obs, eps)
loss = (ALPHA * log_prob - torch.minimum(q_of(q, obs, action, 0), q_of(q, obs, action, 1))).mean()
loss.backward()
with torch.no_grad():
    next_action, next_log_prob = sample(policy, next_obs, next_eps)
    low = torch.minimum(
        q_of(target, next_obs, next_action, 0), q_of(target, next_obs, next_action, 1)
    )
    y = reward + GAMMA * cont * (low - ALPHA * next_log_prob)


def flat(t):
    return [float(x) for x in t.detach().flatten()]


def net(n):
    return {k: {"shape": list(v.shape), "data": flat(v)} for k, v in n.items()}


print(json.dumps({
    "provenance": f"torch {torch.__version__.split('+')[0]}, float64, seed 7, make_sac_torch.py",
    "b": B, "o": O, "a": A, "alpha": ALPHA, "gamma": GAMMA,
    "policy": net(policy), "q": net(q), "target": net(target),
    "obs": flat(obs), "eps": flat(eps), "next_obs": flat(next_obs), "next_eps": flat(next_eps),
    "reward": flat(reward), "cont": flat(cont),
    "log_prob": flat(log_prob), "loss": float(loss), "y": flat(y),
    "gradient": {k: flat(v.grad) for k, v in policy.items()},
}))
