#!/usr/bin/env python3
"""Kills one training run at random printed steps, resumes it each time, and compares its end with
that of a run that was never killed.

    cargo build --release && python3 tests/crash/random_kills.py > tests/crash/random_kills.log

Byte-equal must be `metrics.csv` and the newest checkpoint: its manifest and every file it names.
Exit code 0 if they are. Python's standard library only.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

SETTINGS = (
    "run.checkpoint_every=150 run.checkpoint_share=1.0 run.eval.every=50 run.eval.episodes=2 "
    "loop.random_steps=200 loop.fit_every=100 loop.updates_per_step=1 imagine.starts=300 "
    "model.max_epochs=3"
).split()
ROW = re.compile(r" step (\d+): return ")


def command(hstep, root, steps):
    train = [hstep, "train", "mbpo", "--env", "pendulum", "--seed", "0", "--steps", str(steps)]
    return train + ["--out", str(root)] + SETTINGS


def folder(root):
    """The run folder, or None before there is one."""
    runs = sorted(root.glob("train/*"))
    return runs[0] if runs else None


def newest(run):
    """The newest manifest as path and JSON, or None before the first checkpoint."""
    manifests = sorted(run.glob("ckpt/manifest-*.json")) if run else []
    if not manifests:
        return None
    return manifests[-1], json.loads(manifests[-1].read_text())["body"]


def result(run):
    """What must be byte-equal, by its name in the run folder."""
    path, manifest = newest(run)
    names = ["metrics.csv", f"ckpt/{path.name}"]
    names += [f"ckpt/tensors/{part['hash']}.safetensors" for part in manifest["parts"].values()]
    for buffer in manifest["buffers"].values():
        names += [f"ckpt/chunks/{chunk['hash']}.chunk" for chunk in buffer["chunks"]]
    return {name: (run / name).read_bytes() for name in names}


def kill_at(arguments, step):
    """Runs until a row of `step` or later is printed, then SIGKILL.

    Returns the last step printed, or None if the process ended by itself."""
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        printed = None
        for line in process.stderr:
            found = ROW.search(line)
            if found:
                printed = int(found[1])
                if printed >= step:
                    break
        process.kill()
        process.stderr.read()
        return printed if process.wait() == -9 else None


def state_after(run):
    """What the kill left behind, in words."""
    found = newest(run)
    metrics = (run / "metrics.csv").read_bytes()
    words = [f"checkpoint of step {found[1]['step']}" if found else "no checkpoint"]
    if not metrics.endswith(b"\n"):
        words.append("half a row")
    beyond = metrics[found[1]["metrics"]["bytes"]:].count(b"\n") if found else 0
    words.append(f"{beyond} rows after it")
    unfinished = sorted(path.suffixes[-2] for path in run.glob("ckpt/**/*.tmp"))
    if unfinished:
        words.append("unfinished " + ", ".join(unfinished))
    return ", ".join(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    print(f"mbpo on pendulum, {options.steps} steps, {options.kills} kills, seed {options.seed}")

    with tempfile.TemporaryDirectory() as temporary:
        whole, killed = pathlib.Path(temporary, "whole"), pathlib.Path(temporary, "killed")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command(options.hstep, whole, options.steps), **quiet)
        expected = result(folder(whole))

        draw = random.Random(options.seed)
        # Not among the very last rows: the run could end before it is killed.
        rows = options.steps // 50 - 4
        at = sorted(draw.randrange(rows) * 50 for _ in range(options.kills))
        for number, step in enumerate(at, start=1):
            run = folder(killed)
            if newest(run):
                arguments = [options.hstep, "resume", str(run)]
            else:
                arguments = command(options.hstep, killed, options.steps)
            printed = kill_at(arguments, step)
            if printed is None:
                sys.exit(f"kill {number}: the run ended by itself; use more --steps")
            print(f"kill {number:2} at step {printed:4}: {state_after(folder(killed))}")
        subprocess.run([options.hstep, "resume", str(folder(killed))], **quiet)
        got = result(folder(killed))

        for name in sorted(expected.keys() | got.keys()):
            equal = got.get(name) == expected.get(name)
            size = len(expected.get(name, b""))
            print(f"{name}: {size} bytes, {'equal' if equal else 'DIFFERENT'}")
        equal = got == expected
        print(f"byte-equal {'yes' if equal else 'no'}")
        sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
