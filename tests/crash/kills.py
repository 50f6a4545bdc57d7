#!/usr/bin/env python3
"""Kills runs of every algorithm at random times, resumes them, and compares their ends with runs that were never
killed.

    python3 tests/crash/kills.py [--kills 1000] [--seed 1] [--hstep target/release/hstep]

A kill is SIGKILL some random time after the process has begun, up to as long as the whole run takes. Byte-equal must
be `metrics.csv` and the newest checkpoint: its manifest and every file it names. Exit code 0 if all are.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

from runs import ALGOS, Runner, done, draw, folder, newest, result

STEPS = 400


def kill_after(arguments, seconds):
    """Runs for so long at most; whether it was killed."""
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait() == -9


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    runner, unequal, total = Runner(options.hstep), 0, 0
    each = -(-options.kills // len(ALGOS))
    for algo in ALGOS:
        with tempfile.TemporaryDirectory() as temporary:
            whole = pathlib.Path(temporary, "whole")
            began = time.monotonic()
            made = done(runner.train(algo, whole, STEPS))
            lasts = time.monotonic() - began
            if made.returncode != 0:
                sys.exit(f"{algo}: exit code {made.returncode}\n{made.stderr}")
            want = result(folder(whole))
            kills, runs, before_any, different = 0, 0, 0, 0
            while kills < each:
                random, root = draw(options.seed, algo, runs), pathlib.Path(temporary, f"killed-{runs}")
                while kills < each:
                    run = folder(root)
                    line = runner.resume(run, STEPS) if newest(run) else runner.train(algo, root, STEPS)
                    if not kill_after(line, lasts * random.uniform(0.05, 0.6)):
                        break
                    kills += 1
                    before_any += newest(folder(root)) is None
                run = folder(root)
                ended = done(runner.resume(run, STEPS) if newest(run) else runner.train(algo, root, STEPS))
                if ended.returncode != 0 or result(folder(root)) != want:
                    different += 1
                    print(f"{algo}: run {runs} of seed {options.seed} DIFFERS, exit code {ended.returncode}: "
                          f"{ended.stderr[-400:]}", flush=True)
                runs += 1
            total, unequal = total + kills, unequal + different
            print(f"{algo:10} {kills:4} kills in {runs:3} runs of {STEPS} steps, {before_any:3} before the first "
                  f"checkpoint: {'all byte-equal' if not different else f'{different} DIFFERENT'}", flush=True)
    print(f"{total} kills, {'every run byte-equal' if not unequal else f'{unequal} runs DIFFERENT'}")
    sys.exit(1 if unequal else 0)


if __name__ == "__main__":
    main()
