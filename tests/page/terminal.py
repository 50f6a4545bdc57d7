#!/usr/bin/env python3
"""What training looks like on a terminal of 80 and of 140 columns: every evaluation can be read, under one bar.

    python3 tests/page/terminal.py [--hstep target/release/hstep]

Needs `tmux`; Python's standard library otherwise.
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

STEPS, EVERY = 3000, 250
SETTINGS = f"run.eval.every={EVERY} run.eval.episodes=2 loop.random_steps=300 actor.hidden=[16] critic.hidden=[16]"


def tmux(*words, check=True):
    # Bars are drawn in characters beyond ASCII.
    environment = dict(os.environ, LC_ALL="C.UTF-8", TERM="screen-256color")
    command = ["tmux", "-u", "-L", "hstep-test", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check, env=environment).stdout


def screen():
    """All lines, those that have left the screen too, wrapped ones joined as nothing else could be read."""
    return tmux("capture-pane", "-p", "-S", "-").rstrip("\n").split("\n")


def train(hstep, columns):
    with tempfile.TemporaryDirectory() as temporary:
        line = f"{shlex.quote(str(hstep))} train sac --env pendulum --steps {STEPS} --out {temporary} {SETTINGS}; echo ended"
        tmux("new-session", "-d", "-x", str(columns), "-y", "40", "sh")
        try:
            tmux("send-keys", line, "Enter")
            seen, end = 0, time.monotonic() + 120
            while time.monotonic() < end:
                shown = screen()
                bars = [text for text in shown if re.search(r"[█░▓▒#=>]{4,}|\d+/\d+ steps|it/s|steps/", text) and "return" not in text.split(":")[0]]
                bars = [text for text in bars if "train sac" not in text]
                if len(bars) > 1:
                    sys.exit(f"{columns} columns: {len(bars)} bars\n" + "\n".join(shown))
                seen += len(bars) == 1
                if any(text == "ended" for text in shown):
                    break
                time.sleep(0.05)
            lines = screen()
        finally:
            tmux("kill-server", check=False)
        evaluations = [text for text in lines if re.fullmatch(r".*sac pendulum s0 step \d+: return -?\d+\.\d\s*", text)]
        steps = [int(re.search(r"step (\d+):", text)[1]) for text in evaluations]
        wanted = list(range(0, STEPS + 1, EVERY))
        if steps != wanted:
            sys.exit(f"{columns} columns: evaluations of {steps} can be read, of {wanted} are made\n" + "\n".join(lines))
        if seen == 0:
            sys.exit(f"{columns} columns: no bar was seen\n" + "\n".join(lines))
        print(f"ok  {columns} columns: {len(wanted)} evaluations can be read, one bar in {seen} looks")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep", type=pathlib.Path)
    options = parser.parse_args()
    for columns in (80, 140):
        train(options.hstep.resolve(), columns)


if __name__ == "__main__":
    main()
