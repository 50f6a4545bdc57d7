#!/usr/bin/env python3
"""Runs `hstep bench` and its peers in turn on this machine, and tabulates who is how fast.

Every measurement is one row of `data/peers/results.csv`; rows that are there already are not measured
again, so an interrupted comparison goes on where it stopped, and more turns extend it. `hstep` is a
process a measurement, a peer one process a number of threads that waits while others have their turn.
From all rows come `data/peers.md`, `data/peers/summary.csv` (which `hstep reproduce peers` draws)
and `data/peers/meta.json`. See README.md beside this file.
"""

import argparse
import csv
import datetime
import json
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import machine  # noqa: E402
from servers import Failed, Servers, last  # noqa: E402

WORKLOADS = ["a", "b", "c10k", "c100k", "d100", "d500", "d64", "e5", "e10"]
COLUMNS = ["turn", "time", "workload", "threads", "contender", "median", "best", "per_cpu",
           "limit_gflops", "fraction"]
RESULT = re.compile(r"RESULT (\S+) (\S+) t(\d+) med (\S+) best (\S+) percpu (\S+)")
LIMIT = re.compile(r"LIMIT t\d+ gflops (\S+)")
FRACTION = re.compile(r"FRACTION \S+ t\d+ (\S+) gflops")
# Only numbers of the same precision are compared.
OURS = {"f32": "hstep", "bf16": "hstep-bf16"}
# Rough seconds, for saying how long it takes: to start a peer, to build a workload, to warm up, and of
# a call on one thread where that is long.
START, BUILD, WARM, WARM_OURS = 3, {"torch": 0.5, "jax": 5}, 0.25, 0.5
SLOW = {"d64": 3.5, "c100k": 2}
ROUNDS, LEVEL, SEED = 10_000, 0.95, 0


def peers(workload, precision):
    """The contenders that `hstep` is compared with."""
    if precision == "f32":
        grouped = ["jax-grp"] if workload.startswith("c") else []
        return ["torch-default", "torch-best", "jax-default"] + grouped
    return {"c": ["torch-medium"], "d": ["torch-bf16", "torch-medium"]}.get(workload[0], [])


def contenders(workload, precisions):
    """Everybody who runs a workload, in the order of a turn."""
    found = []
    for precision in precisions:
        others = peers(workload, precision)
        found += [OURS[precision]] + others if others else []
    return found


def command(args, workload, contender, threads):
    """The words that start a contender: `hstep` for one workload, a peer to be asked for them."""
    tool, _, variant = contender.partition("-")
    if tool == "hstep":
        precision = ["--precision", variant] if variant else []
        return [args.hstep, "bench", workload, "--seconds", str(args.seconds),
                "--threads", str(threads)] + precision
    return [args.python, str(HERE / f"{tool}_bench.py"), "-", variant, str(threads)]


def once(words, environment):
    """What a process that runs to its end prints."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode != 0 or not RESULT.search(done.stdout):
        raise Failed(last(done.stderr))
    return done.stdout


def measure(args, servers, workload, contender, threads):
    """Measures one contender once; its row without the turn."""
    number = str(threads)
    names = ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "HSTEP_THREADS"]
    environment = {**os.environ, **{name: number for name in names}}
    words = command(args, workload, contender, threads)
    try:
        if contender in OURS.values():
            text = once(words, environment)
        else:
            text = servers.get((contender, threads), words, environment).ask(workload, args.seconds)
    except (Failed, OSError) as error:  # the latter where there is no such program
        sys.exit(f"{contender} did not run {workload} on {threads} threads: {error}")
    found = RESULT.search(text)
    if not found or found.group(1, 2, 3) != (workload, contender, number):
        sys.exit(f"asked for {workload} {contender} t{number}, got: {text.strip()}")
    limit, fraction = LIMIT.search(text), FRACTION.search(text)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    row = [now, workload, number, contender, *found.group(4, 5, 6)]
    return row + [match.group(1) if match else "" for match in (limit, fraction)]


def read(path):
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and list(rows[0]) != COLUMNS:
        sys.exit(f"{path}: expected the columns {', '.join(COLUMNS)}; move it away to start anew")
    return rows


def identity(row):
    return int(row["turn"]), row["workload"], int(row["threads"]), row["contender"]


def missing(args, rows):
    """What is to be measured yet, in turn: turn, workload, threads, contender."""
    done = {identity(row) for row in rows}
    every = [(turn, workload, threads, contender)
             for turn in range(1, args.turns + 1)
             for workload in args.workloads
             for threads in args.threads
             for contender in contenders(workload, args.precisions)]
    return [one for one in every if one not in done]


def expected(args, left):
    """Seconds that measuring takes, roughly."""
    total, known = 0.0, set()
    for _, workload, threads, contender in left:
        ours, slow = contender in OURS.values(), SLOW.get(workload, 0) / threads
        total += max(args.seconds, slow) + (WARM_OURS + args.seconds / 2 + 2 * slow if ours else WARM)
        if not ours:
            tool = contender.partition("-")[0]
            fresh = {(contender, threads), (contender, threads, workload)} - known
            total += sum(START if len(key) == 2 else BUILD[tool] + 3 * slow for key in fresh)
            known |= fresh
    return total


def run_all(args, path):
    """Measures what is not in the file yet, adding each row as it comes."""
    left = missing(args, read(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    minutes, start = math.ceil(expected(args, left) / 60), time.monotonic()
    print(f"{len(left)} measurements, about {minutes} min on an idle machine", flush=True)
    with path.open("a", newline="") as file, Servers() as servers:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        for turn, workload, threads, contender in left:
            row = [turn] + measure(args, servers, workload, contender, threads)
            writer.writerow(row)
            file.flush()
            print(f"{time.monotonic() - start:.0f} s, turn {turn}: "
                  f"{workload} t{threads} {contender} {row[5]}", flush=True)


def quantile(values, p):
    """Linear between the order statistics."""
    values = sorted(values)
    at = p * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def ratio(ours, others):
    """Our median over that of the best peer, with a percentile bootstrap interval over turns.

    `ours` and every value of `others` are rates by turn. A resample takes whole turns, and looks
    for the best peer anew.
    """
    turns = sorted(set(ours).intersection(*others.values()))
    if not turns:
        return None

    def at(chosen):
        best = max(statistics.median(rates[t] for t in chosen) for rates in others.values())
        return statistics.median(ours[t] for t in chosen) / best

    draw = random.Random(SEED)
    draws = [at(draw.choices(turns, k=len(turns))) for _ in range(ROUNDS)]
    tail = (1 - LEVEL) / 2
    return at(turns), quantile(draws, tail), quantile(draws, 1 - tail)


def summarise(rows):
    """A dictionary a workload, number of threads and precision that `hstep` was measured at."""
    rates = {}
    for row in rows:
        key = (row["workload"], int(row["threads"]))
        rates.setdefault(key, {}).setdefault(row["contender"], {})[int(row["turn"])] = row
    found = []
    for precision, name in OURS.items():
        for workload in WORKLOADS:
            for (known, threads), of in sorted(rates.items()):
                if known != workload or name not in of:
                    continue
                median = {who: {t: float(row["median"]) for t, row in turns.items()}
                          for who, turns in of.items()}
                others = {who: median[who] for who in peers(workload, precision) if who in median}
                found.append({
                    "workload": workload, "threads": threads, "precision": precision,
                    "rates": {name: median[name], **others},
                    "ratio": ratio(median[name], others) if others else None,
                    "fraction": statistics.median(float(row["fraction"]) for row in of[name].values()),
                })
    return found


def figures(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"


def spread(rates):
    if not rates:
        return "-"
    values = list(rates.values())
    low, high = figures(min(values)), figures(max(values))
    return f"{figures(statistics.median(values))} [{low}, {high}]"


def best_of(line, names):
    """The rates of the contender with the highest median."""
    there = [line["rates"][name] for name in names if name in line["rates"]]
    return max(there, key=lambda rates: statistics.median(rates.values()), default=None)


def table(summary):
    heads = {"f32": ["torch default", "torch best", "jax"], "bf16": ["torch bf16", "torch medium"]}
    names = {"torch default": ["torch-default"], "torch best": ["torch-best"],
             "jax": ["jax-default", "jax-grp"], "torch bf16": ["torch-bf16"],
             "torch medium": ["torch-medium"]}
    out = []
    for precision, head in heads.items():
        lines = [line for line in summary if line["precision"] == precision]
        if not lines:
            continue
        turns = sorted({len(line["rates"][OURS[precision]]) for line in lines})
        counted = " to ".join(str(n) for n in sorted({turns[0], turns[-1]}))
        out += [f"Units of work a second in {precision}: median [lowest, highest] of {counted} turns; "
                "the ratio of medians to the best peer with its 95 % bootstrap interval over turns; "
                "the fraction of the machine's rate of matrix products that hstep reaches.", ""]
        columns = ["workload", "threads", "hstep", *head, "ratio", "interval", "fraction"]
        out += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        for line in lines:
            cells = [line["workload"], str(line["threads"]), spread(line["rates"][OURS[precision]])]
            cells += [spread(best_of(line, names[title])) for title in head]
            found = line["ratio"]
            cells += [f"{found[0]:.2f}", f"[{found[1]:.2f}, {found[2]:.2f}]"] if found else ["-", "-"]
            out.append("| " + " | ".join(cells + [f"{line['fraction']:.2f}"]) + " |")
        out.append("")
    return "\n".join(out)


def write_summary(summary, path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["workload", "threads", "precision", "turns", "ratio", "low", "high"])
        for line in summary:
            if line["ratio"]:
                turns = len(line["rates"][OURS[line["precision"]]])
                numbers = [f"{x:.4f}" for x in line["ratio"]]
                writer.writerow([line["workload"], line["threads"], line["precision"], turns, *numbers])


def meta(args):
    words = ["benches/peers/compare.py", f"--turns {args.turns}", f"--seconds {args.seconds}",
             "--threads " + " ".join(map(str, args.threads)), "--workloads " + " ".join(args.workloads)]
    about = machine.about(args.hstep, args.python, ["torch", "jax", "optax", "numpy"])
    return {**about, "command": " ".join(words + (["--bf16"] if args.bf16 else []))}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has torch and jax")
    parser.add_argument("--hstep", default=str(ROOT / "target/release/hstep"), help="the binary")
    parser.add_argument("--bf16", action="store_true", help="c and d in bf16, too")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "figures", help="the folder of the figures")
    args = parser.parse_args()
    if args.turns < 1 or args.seconds <= 0 or min(args.threads) < 1:
        parser.error("turns, seconds and threads must be positive")
    args.precisions = ["f32", "bf16"] if args.bf16 else ["f32"]
    return args


def main():
    args = arguments()
    data = args.out / "data"
    results = data / "peers" / "results.csv"
    run_all(args, results)
    summary = summarise(read(results))
    text = table(summary)
    (data / "peers.md").write_text(text)
    write_summary(summary, data / "peers" / "summary.csv")
    (data / "peers" / "meta.json").write_text(json.dumps(meta(args), indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main()
