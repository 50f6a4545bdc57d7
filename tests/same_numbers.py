#!/usr/bin/env python3
"""Whether two builds of hstep compute the same: every algorithm on native tasks, and those with a model on MuJoCo.

    python3 tests/same_numbers.py OLD NEW [--only NAME ...] [--steps 1500] [--keep DIR]

OLD and NEW are two binaries. Each run is made by both, with one thread, and metrics.csv is compared byte by byte in
every column that both have. Prints a line a run; the exit code is 0 only if all agree. A redesign that must not change
a number is checked with it, on one machine: other processors round otherwise.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile

ALGOS = ["sac", "reinforce", "mbpo", "steve", "maac", "mopac", "demorl", "pets", "mppi-mbrl"]
RUNS = [(algo, env) for env in ["pendulum", "cartpole-swingup"] for algo in ALGOS]
RUNS += [(f"{algo}-2core", "InvertedPendulum-v4") for algo in ["mbpo", "maac", "mopac"]]


def metrics(binary, algo, env, steps, folder):
    """The columns of a run's metrics.csv; made once a folder."""
    done = list(folder.glob(f"train/{algo}-{env}-s0-*/metrics.csv"))
    if not done or len(list(csv.reader(open(done[0])))) < 2:
        line = [binary, "train", algo, "--env", env, "--seed", "0", "--steps", str(steps), "--threads", "1"]
        environment = dict(os.environ, HSTEP_RUNS=str(folder))
        made = subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if made.returncode != 0:
            sys.exit(f"{' '.join(line)}: exit code {made.returncode}\n{made.stderr[-2000:]}")
        done = list(folder.glob(f"train/{algo}-{env}-s0-*/metrics.csv"))
    rows = list(csv.reader(open(done[0])))
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=os.path.abspath)
    parser.add_argument("new", type=os.path.abspath)
    parser.add_argument("--only", nargs="*", help="algorithms, or ALGORITHM@ENVIRONMENT")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--keep", type=pathlib.Path, help="keep the runs of OLD here, and use those that are there")
    args = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as temporary:
        old = args.keep or pathlib.Path(temporary) / "old"
        new = pathlib.Path(temporary) / "new"
        for algo, env in RUNS:
            if args.only and not {algo, algo.removesuffix("-2core"), f"{algo}@{env}"} & set(args.only):
                continue
            a = metrics(args.old, algo, env, args.steps, old.resolve())
            b = metrics(args.new, algo, env, args.steps, new.resolve())
            both = [name for name in a if name in b]
            wrong = [name for name in both if a[name] != b[name]]
            only = sorted(set(a) ^ set(b))
            different += bool(wrong)
            verdict = f"DIFFERS in {', '.join(wrong)}" if wrong else f"equal in {len(both)} columns"
            note = f" (in one of them only: {', '.join(only)})" if only else ""
            print(f"{algo:14} {env:22} {verdict}{note}", flush=True)
    sys.exit(1 if different else 0)


main()
