"""Writes golden episodes of the two-link tasks beside this file.

    pip install numpy==2.4.6 scipy==1.17.1
    python tests/golden/make_two_link.py

The bodies are integrated without the manipulator equations: each rod has the Newton-Euler equations
of a free body in x, y and its own direction; four constraint forces hold the joints together; the ten
unknowns are one linear system. The integrator is SciPy's DOP853 to 1e-12. Directions are from x (along
gravity) to y; rods are uniform. Actions are in the environment's own units.
"""

import csv
import datetime
import json
import pathlib
import platform

import numpy as np
import scipy
from scipy.integrate import solve_ivp

SEED = 20250301
HERE = pathlib.Path(__file__).parent

# Masses, lengths, damping of each joint, gravity, s a step, steps, greatest torques.
LEG = ((0.6, 0.3), (0.25, 0.25), (0.15, 0.05), 9.81, 0.02, 200, (3.0, 1.0))
ARM = ((1.0, 1.0), (0.5, 0.5), (0.2, 0.1), 0.0, 0.04, 50, (2.0, 1.0))
BOT = ((1.0, 1.0), (0.5, 0.5), (0.02, 0.3), 9.81, 0.04, 250, (0.0, 8.0))


def accelerations(body, state, torque):
    """Second derivatives of the joint angles, by constraint forces."""
    (m1, m2), (l1, l2), damping, gravity, *_ = body
    q1, q2, w1, w2 = state
    a, b, wa, wb = q1, q1 + q2, w1, w1 + w2
    hip = torque[0] - damping[0] * w1
    knee = torque[1] - damping[1] * w2
    # Unknowns: x1 y1 a x2 y2 b (second derivatives), forces at the origin (on 1) and the knee (on 2).
    left, right = np.zeros((10, 10)), np.zeros(10)

    def arm(angle, length):
        return length * np.array([np.cos(angle), np.sin(angle)])

    def moment(angle, length):
        """Row: the torque of a force (fx, fy) applied at `arm`."""
        x, y = arm(angle, length)
        return np.array([-y, x])

    for i in range(2):
        left[i, i], left[i, 6 + i], left[i, 8 + i] = m1, -1, 1
        left[3 + i, 3 + i], left[3 + i, 8 + i] = m2, -1
    right[0], right[3] = m1 * gravity, m2 * gravity
    left[2, 2], left[2, 6:8], left[2, 8:10] = m1 * l1**2 / 12, -moment(a, -l1 / 2), moment(a, l1 / 2)
    right[2] = hip - knee
    left[5, 5], left[5, 8:10] = m2 * l2**2 / 12, -moment(b, -l2 / 2)
    right[5] = knee
    # A point at `arm` of a body: its acceleration is that of the centre + moment * angle'' - arm w^2.
    for i in range(2):
        left[6 + i, i] = 1
        left[6 + i, 2] = moment(a, -l1 / 2)[i]
        right[6 + i] = arm(a, -l1 / 2)[i] * wa**2
        left[8 + i, 3 + i], left[8 + i, i] = 1, -1
        left[8 + i, 5], left[8 + i, 2] = moment(b, -l2 / 2)[i], -moment(a, l1 / 2)[i]
        right[8 + i] = arm(b, -l2 / 2)[i] * wb**2 - arm(a, l1 / 2)[i] * wa**2
    solved = np.linalg.solve(left, right)
    return np.array([solved[2], solved[5] - solved[2]])


def advance(body, state, torque):
    limit = np.array(body[6])
    torque = np.clip(torque, -limit, limit)

    def slope(_, s):
        return np.concatenate([s[2:], accelerations(body, s, torque)])

    return solve_ivp(slope, (0, body[4]), state, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]


def ends(body, s):
    """Complex numbers x + iy of the joint and of the tip, and the tip's velocity."""
    (l1, l2) = body[1]
    thigh, shank = l1 * np.exp(1j * s[0]), l2 * np.exp(1j * (s[0] + s[1]))
    return thigh, thigh + shank, 1j * (thigh * s[2] + shank * (s[2] + s[3]))


def angles(s):
    return [np.cos(s[0]), np.sin(s[0]), np.cos(s[1]), np.sin(s[1]), s[2], s[3]]


def leg(start, t, s, action):
    phase = start[4] + 2 * np.pi * 0.02 * (t + 1) / 1.5
    wanted = 0.36 + 0.06 * np.cos(phase) + 0.15j * np.sin(phase)
    speed = 2 * np.pi / 1.5 * (-0.06 * np.sin(phase) + 0.15j * np.cos(phase))
    _, tip, velocity = ends(LEG, s)
    reward = 0.8 * np.exp(-(abs(10 * (tip - wanted)) ** 2)) + 0.2 * np.exp(-(abs(10 * (velocity - speed)) ** 2))
    return [*angles(s), np.cos(phase), np.sin(phase)], reward


def reacher(start, t, s, action):
    away = ends(ARM, s)[1] - complex(*start[4:])
    share = np.clip(action, -np.array(ARM[6]), ARM[6]) / ARM[6]
    reward = -(np.hypot(abs(away), 1e-3) - 1e-3) - 0.1 * share @ share
    return [*angles(s), *start[4:], away.real, away.imag], reward


def acrobot(start, t, s, action):
    elbow, tip, _ = ends(BOT, s)
    first, second = (1 - elbow.real / 0.5) / 2, (1 - (tip - elbow).real / 0.5) / 2
    slow, idle = np.exp(-(s[2] ** 2 + s[3] ** 2) / 32), 1 - min(1, abs(action[1]) / 8) ** 2
    return angles(s), first * (1 + second) / 2 * (1 + slow) / 2 * (4 + idle) / 5


TASKS = [
    ("leg-2r", LEG, leg, [
        ("random", [0.77, -1.54, 0.05, -0.03, 1.0]), ("held", [0.7, -1.6, 0.0, 0.1, -2.0]),
        ("zero", [0.8, -1.5, 0.0, 0.0, 0.0]), ("still", [0.7669940079, -1.5339880158, 0.0, 0.0, 3.0]),
    ]),
    ("reacher-2", ARM, reacher, [
        ("random", [0.05, -0.02, 0.1, 0.0, 0.3, -0.5]), ("held", [0.0, 0.08, 0.0, -0.1, -0.6, 0.2]),
        ("zero", [0.1, 0.1, 0.1, 0.1, 0.0, 0.9]), ("beyond", [-0.1, 0.0, 0.0, 0.0, 0.2, 0.1]),
    ]),
    ("acrobot", BOT, acrobot, [
        ("random", [0.1, -0.1, 0.0, 0.05]), ("held", [0.05, 0.0, 0.0, 0.0]),
        ("zero", [0.1, 0.1, 0.1, 0.1]), ("beyond", [3.1, 0.1, 0.0, 0.0]),
    ]),
]


def action(kind, limit, t, held, rng):
    if kind == "random":
        return limit * rng.uniform(-1, 1, 2)
    if kind == "held":
        return limit * rng.uniform(-1, 1, 2) if t % 10 == 0 else held
    if kind == "beyond":
        return limit * rng.uniform(-2, 2, 2) if t % 3 == 0 else held
    # The weight of both rods in the pose that the leg starts from.
    return np.array([0.766, -0.255]) if kind == "still" else np.zeros(2)


def main():
    rng = np.random.default_rng(SEED)
    for name, body, outcome, kinds in TASKS:
        header, steps = [], body[5] if name != "acrobot" else 120
        with open(HERE / f"{name}.csv", "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            for index, (kind, start) in enumerate(kinds):
                held, state = np.zeros(2), np.array(start[:4])
                for t in range(steps):
                    held = action(kind, np.array(body[6]), t, held, rng)
                    state = advance(body, state, held)
                    obs, reward = outcome(start, t, state, held)
                    acted = held[1:] if name == "acrobot" else held
                    out.writerow([index, *(f"{x:.12g}" for x in [*acted, *obs, reward])])
                    held = np.array([float(f"{x:.12g}") for x in held])
                header.append({"kind": kind, "start": start, "steps": steps})
        provenance = {
            "made_by": "python tests/golden/make_two_link.py", "seed": SEED,
            "date": datetime.date.today().isoformat(), "numpy": np.__version__,
            "scipy": scipy.__version__, "python": platform.python_version(),
            "machine": platform.machine(),
            "columns": ["episode", "action...", "obs...", "reward"], "episodes": header,
        }
        (HERE / f"{name}.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    main()
