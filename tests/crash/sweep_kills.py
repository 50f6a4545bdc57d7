#!/usr/bin/env python3
"""A sweep of three algorithms and five seeds, killed at random, against one that was left alone; and its comparison
against rliable, where that is installed.

    python3 tests/crash/sweep_kills.py [--kills 5] [--seed 1] [--hstep target/release/hstep]

SIGKILL hits the sweep; on Linux its processes end with it. Exit code 0 if every metrics.csv is byte-equal, and the
interquartile means and the ends of their intervals agree.
"""

import argparse
import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

SWEEP = """[run]
steps = 1500
[sweep]
algos = ["sac", "mbpo", "maac"]
envs = ["pendulum"]
seeds = "0..4"
"""


def rows(folder):
    return {run.name: (run / "metrics.csv").read_bytes() for run in folder.iterdir() if (run / "metrics.csv").exists()}


def against_rliable(exported, compared):
    """The largest differences of IQM and of the ends of its interval, as a share of the interval's width."""
    try:
        import numpy
        from rliable import library, metrics
    except ImportError:
        return None
    last = {}
    for row in csv.DictReader(open(exported)):
        if row["eval_return"]:
            last.setdefault(row["group"], {})[row["seed"]] = float(row["eval_return"])
    scores = {group: numpy.array(list(seeds.values()))[:, None] for group, seeds in last.items()}
    iqm = lambda x: numpy.array([metrics.aggregate_iqm(x)])
    points, intervals = library.get_interval_estimates(scores, iqm, reps=50_000)
    worst = [0.0, 0.0]
    for group in compared["groups"]:
        own, (low, high) = group["iqm"], intervals[group["label"]][:, 0]
        worst[0] = max(worst[0], abs(own["value"] - points[group["label"]][0]))
        for mine, theirs in zip(own["interval"], (low, high)):
            worst[1] = max(worst[1], abs(mine - theirs) / (high - low))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        file = root / "three.toml"
        file.write_text(SWEEP)
        sweep = lambda name: [options.hstep.resolve(), "sweep", file, "--jobs", "2", "--out", root / name]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        began = time.monotonic()
        subprocess.run(sweep("alone"), check=True, **quiet)
        lasts = time.monotonic() - began
        alone = rows(root / "alone/three")
        print(f"left alone: {len(alone)} runs in {lasts:.0f} s", flush=True)
        for kill in range(options.kills):
            process = subprocess.Popen(sweep("killed"), **quiet)
            try:
                process.wait(lasts * draw.uniform(0.05, 0.25))
                sys.exit("the sweep ended before it was killed")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            steps = sum(max(0, len(text.splitlines()) - 1) for text in rows(root / "killed/three").values())
            print(f"kill {kill + 1}: {len(rows(root / 'killed/three'))} runs begun, {steps} rows", flush=True)
        subprocess.run(sweep("killed"), check=True, **quiet)
        killed = rows(root / "killed/three")
        different = [name for name in alone if killed.get(name) != alone[name]]
        print(f"{len(alone)} runs of 3 algorithms and 5 seeds, {options.kills} kills: "
              f"{'every metrics.csv byte-equal' if not different else f'DIFFERENT: {different}'}")
        out = [options.hstep.resolve(), "compare", root / "killed/three", "--csv", root / "all.csv", "--json", root / "all.json"]
        subprocess.run(out, check=True, **quiet)
        worst = against_rliable(root / "all.csv", json.loads((root / "all.json").read_text()))
        if worst is None:
            print("rliable is not installed: not compared")
        else:
            print(f"against rliable: IQM off by at most {worst[0]:.1e}, ends of intervals by {100 * worst[1]:.1f} % of their width "
                  "(10,000 and 50,000 resamples)")
        sys.exit(1 if different or worst and (worst[0] > 1e-6 or worst[1] > 0.05) else 0)


if __name__ == "__main__":
    main()
