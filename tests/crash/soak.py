#!/usr/bin/env python3
"""Trains MBPO on Hopper for two hours, with an evaluation and a checkpoint every 500 steps, and watches the process: memory
after the buffers are full has to stay flat, file descriptors and threads constant.

    python3 tests/crash/soak.py [--minutes 120] [--hstep target/release/hstep] > tests/crash/soak.log

Needs MuJoCo (`hstep setup mujoco`), and /proc. Python's standard library only.
"""

import argparse
import atexit
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# Small buffers, so that they are full within minutes.
SETTINGS = (
    "run.eval.every=500 run.eval.episodes=3 run.checkpoint_every=500 run.checkpoint_share=1.0 loop.replay=5000 "
    "loop.random_steps=1000 imagine.starts=10000 imagine.retain_rounds=4 model.max_steps=500"
).split()


def look(pid):
    """Resident memory in MB, file descriptors and threads."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])


def steps(root):
    for path in root.glob("train/*/metrics.csv"):
        return int((path.read_text().splitlines() or ["0"])[-1].split(",")[0] or 0) if path.stat().st_size else 0
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        line = [options.hstep.resolve(), "train", "mbpo-2core", "--env", "Hopper-v4", "--steps", "1000000", "--threads", "1"]
        log = root / "log"
        with open(log, "w") as to:
            process = subprocess.Popen(line + ["--out", root] + SETTINGS, stdin=subprocess.DEVNULL, stdout=to, stderr=to)
        atexit.register(process.kill)
        seen, end, shown = [], time.monotonic() + 60 * options.minutes, 0
        print("minutes,env_steps,rss_mb,fds,threads", flush=True)
        began = time.monotonic()
        while time.monotonic() < end and process.poll() is None:
            time.sleep(5)
            at, done = (time.monotonic() - began) / 60, steps(root)
            seen.append((at, done, *look(process.pid)))
            if at >= shown:
                shown += 2
                print(f"{at:.1f},{done},{seen[-1][2]:.1f},{seen[-1][3]},{seen[-1][4]}", flush=True)
        process.send_signal(signal.SIGINT)
        if process.wait() != 75:
            sys.exit(f"exit code {process.returncode}: {log.read_text()[-2000:]}")
        # The real buffer is full after 5,000 steps, the imagined one before; medians of a quarter each, since evaluations come and go.
        full = [row for row in seen if row[1] >= 6000]
        quarter = len(full) // 4
        if quarter < 10:
            sys.exit(f"too short: {len(full)} looks after step 6,000")
        first, last = (statistics.median(row[2] for row in part) for part in (full[:quarter], full[-quarter:]))
        peaks = [max(row[2] for row in part) for part in (full[:quarter], full[-quarter:])]
        fds, threads = (sorted({row[i] for row in full}) for i in (3, 4))
        flat = abs(last / first - 1) < 0.02
        print(f"{full[-1][1]} steps; median memory {first:.1f} MB in the first quarter, {last:.1f} MB in the last "
              f"({100 * (last / first - 1):+.2f} %), peaks {peaks[0]:.1f} and {peaks[1]:.1f} MB; file descriptors {fds}; threads {threads}")
        # A checkpoint has files open for moments.
        sys.exit(0 if flat and fds[-1] - fds[0] <= 2 and len(threads) == 1 else 1)


if __name__ == "__main__":
    main()
