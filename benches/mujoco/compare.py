#!/usr/bin/env python3
"""Environment steps a second, `hstep` against Gymnasium in Python on the same MuJoCo, in turn.

    python3 -m venv gym && gym/bin/pip install "gymnasium[mujoco]==1.4.0" mujoco==3.17.0
    cargo build --release --workspace && target/release/hstep setup mujoco
    python3 benches/mujoco/compare.py --python gym/bin/python

In a turn each task has Gymnasium, then `hstep bench env` on one thread and on two. That has beside it,
window by window, bare `mj_step` or one thread: the ratios are of neighbours, that to bare `mj_step` by the
processor's clock; that of two threads needs a machine with nothing else to do. Every rate is a row of `data/mujoco-speed/results.csv`, which a run writes anew;
`data/mujoco-speed.md` tabulates medians over the turns, with the least and the greatest ratio.
"""

import argparse
import csv
import datetime
import json
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import machine  # noqa: E402

TASKS = ["HalfCheetah-v4", "Hopper-v4", "Walker2d-v4", "Ant-v4"]
RATE = re.compile(r"^ENV (\S+) (\S+) t(\d+) med (\S+) best (\S+) percpu (\S+)$", re.M)
RATIO = re.compile(r"^(?:SHARE|SCALING) \S+ (\S+)$", re.M)
COLUMNS = ["turn", "time", "task", "contender", "threads", "median", "best", "per_cpu", "ratio"]
HEADS = ["task", "one thread", "two", "Gymnasium", "ours / Gymnasium", "share of bare `mj_step`",
         "two threads / one"]


def run(words):
    """What a command that has to succeed prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    except OSError as error:
        sys.exit(f"{words[0]}: {error}")
    if done.returncode != 0 or not RATE.search(done.stdout):
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def measure(args, task):
    """The rows of one task in one turn, without the turn."""
    seconds = ["--seconds", str(args.seconds)]
    bench = [args.hstep, "bench", "env", task, *seconds, "--threads"]
    gymnasium = [args.python, str(HERE / "gymnasium_bench.py"), *seconds, task]
    for words in [gymnasium, bench + ["1"], bench + ["2"]]:
        text = run(words)
        ratio = RATIO.search(text)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        # What is beside it comes after it, and was measured for the ratio only.
        name, contender, threads, *rates = RATE.findall(text)[0]
        yield [now, name, contender, threads, *rates, ratio.group(1) if ratio else ""]


def run_all(args, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for turn in range(1, args.turns + 1):
            for task in args.tasks:
                for row in measure(args, task):
                    writer.writerow([turn, *row])
                    file.flush()
                    print(f"turn {turn}: {row[1]} {row[2]} t{row[3]} {row[4]}", flush=True)
    part.replace(path)


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def table(rows):
    """In Markdown: medians over the turns, ratios with the least and the greatest."""
    rates, ratios = {}, {}
    for row in rows:
        key = row["contender"], row["threads"]
        rates.setdefault(row["task"], {}).setdefault(key, []).append(float(row["median"]))
        if row["ratio"]:
            ratios.setdefault((row["task"], row["threads"]), []).append(float(row["ratio"]))
    lines = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    for task, of in rates.items():
        one, two, gymnasium = of["hstep", "1"], of["hstep", "2"], of["gymnasium", "1"]
        medians = [f"{statistics.median(x):,.0f}" for x in (one, two, gymnasium)]
        against = spread([ours / theirs for ours, theirs in zip(one, gymnasium)])
        cells = [task, *medians, against, spread(ratios[task, "1"]), spread(ratios[task, "2"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has gymnasium")
    parser.add_argument("--hstep", default=str(ROOT / "target/release/hstep"), help="the binary")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "figures", help="the folder of the figures")
    args = parser.parse_args()
    if args.turns < 1 or args.seconds <= 0:
        parser.error("turns and seconds must be positive")
    return args


def main():
    args = arguments()
    data = args.out / "data"
    about = machine.about(args.hstep, args.python, ["gymnasium", "mujoco", "numpy"])
    about["command"] = f"benches/mujoco/compare.py --turns {args.turns} --seconds {args.seconds:g}"
    if args.tasks != TASKS:
        about["command"] += " --tasks " + " ".join(args.tasks)
    results = data / "mujoco-speed" / "results.csv"
    run_all(args, results)
    with results.open(newline="") as file:
        text = table(list(csv.DictReader(file)))
    (data / "mujoco-speed.md").write_text(text)
    (data / "mujoco-speed" / "meta.json").write_text(json.dumps(about, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main()
