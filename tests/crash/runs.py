"""Small runs of every algorithm, and what of a run folder must be byte-equal. Python's standard library only."""

import json
import pathlib
import random
import subprocess
import tomllib

ALGOS = "sac reinforce mbpo steve maac mopac demorl dhmbpo pets mppi-mbrl soft-q mpq polo".split()

# What makes a run small, where an algorithm has the key.
SMALL = {
    "run.checkpoint_every": "60",
    "run.checkpoint_share": "1.0",
    "run.eval.every": "50",
    "run.eval.episodes": "1",
    "loop.random_steps": "120",
    "loop.fit_every": "60",
    "loop.updates_per_step": "1",
    "loop.batch": "32",
    "loop.block.steps": "50",
    "actor.hidden": "[16]",
    "critic.hidden": "[16]",
    "value.hidden": "[16]",
    "model.hidden": "[16]",
    "model.members": "3",
    "model.elites": "2",
    "model.weight_decay": "[]",
    "imagine.starts": "60",
    "behave.horizon": "3",
    "planner.samples.count": "12",
    "planner.iterations": "1",
}


def lookup(table, key):
    for name in key.split("."):
        if not isinstance(table, dict) or name not in table:
            return None
        table = table[name]
    return table


class Runner:
    """One binary, and the small settings that each algorithm takes."""

    def __init__(self, hstep):
        self.hstep = str(pathlib.Path(hstep).resolve())
        self.settings = {}

    def train(self, algo, root, steps):
        if algo not in self.settings:
            show = [self.hstep, "train", algo, "--env", "pendulum", "--print-config"]
            table = tomllib.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
            unused = "behave." if table.get("acts") is False else "-"
            own = [f"{key}={value}" for key, value in SMALL.items()
                   if lookup(table, key) and not key.startswith(unused)]
            if lookup(table, "model.hidden") is not None:
                own += ["model.max_epochs=2"]
            self.settings[algo] = own
        line = [self.hstep, "train", algo, "--env", "pendulum", "--seed", "0", "--steps", str(steps)]
        return line + ["--threads", "1", "--out", str(root)] + self.settings[algo]

    def resume(self, run, steps):
        return [self.hstep, "resume", str(run), "--steps", str(steps), "--threads", "1"]


def done(arguments, timeout=120, **more):
    """A finished command; -1 stands for one that hung."""
    try:
        return subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=timeout, **more)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, -1, "", f"nothing after {timeout} s")


def folder(root):
    """The run folder, or None before there is one."""
    runs = sorted(root.glob("train/*"))
    return runs[0] if runs else None


def newest(run):
    """The newest manifest as path and JSON, or None before the first checkpoint."""
    manifests = sorted(run.glob("ckpt/manifest-*.json")) if run else []
    return (manifests[-1], json.loads(manifests[-1].read_text())["body"]) if manifests else None


def result(run):
    """What must be byte-equal, by its name in the run folder."""
    path, manifest = newest(run)
    names = ["metrics.csv", f"ckpt/{path.name}"]
    names += [f"ckpt/tensors/{part['hash']}.safetensors" for part in manifest["parts"].values()]
    for buffer in manifest["buffers"].values():
        names += [f"ckpt/chunks/{chunk['hash']}.chunk" for chunk in buffer["chunks"]]
    return {name: (run / name).read_bytes() for name in names}


def draw(seed, *names):
    """Random numbers of their own for each trial, so that one can be made again alone."""
    return random.Random(f"{seed} {' '.join(map(str, names))}")
