#!/usr/bin/env python3
"""Two processes race for one run folder, and disks fill up at random.

    python3 tests/crash/together.py [--races 50] [--disks 100] [--seed 1] [--hstep target/release/hstep]

Of two processes one trains and the other is refused, or comes after it. A full disk (a memory file system of a random
size, which only root can make) ends a run with one error, and the run goes on where there is room again. The ends are
byte-equal to those of undisturbed runs. Exit code 0 if all are.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from runs import Runner, done, draw, folder, result

FIRST, STEPS = 150, 400


def races(runner, temporary, trials, seed):
    bad, refused = 0, 0
    want = None
    for number in range(trials):
        root = pathlib.Path(temporary, f"race-{number}")
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        random = draw(seed, "race", number)
        if random.random() < 0.5:
            done(runner.train("mbpo", root, FIRST))
        both = [subprocess.Popen(runner.train("mbpo", root, STEPS), **pipes) for _ in range(2)]
        said = [process.communicate(timeout=120)[1] for process in both]
        codes = sorted(process.returncode for process in both)
        refused += codes[1] != 0
        got = result(folder(root))
        want = want or got
        told = codes[1] == 0 or any("another process" in text for text in said)
        if codes[0] != 0 or codes[1] not in (0, 2, 4, 6) or not told or got != want:
            bad += 1
            print(f"race {number}: exit codes {codes}, {'equal' if got == want else 'DIFFERENT'}\n{said}", flush=True)
    print(f"{trials} races for a folder: {refused} times the second was refused, {trials - refused} times it came after; "
          f"{'all byte-equal' if not bad else f'{bad} BAD'}", flush=True)
    return bad


def disks(runner, temporary, trials, seed):
    whole = pathlib.Path(temporary, "whole")
    done(runner.train("mbpo", whole, STEPS))
    want = result(folder(whole))
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    bad, filled = 0, 0
    for number in range(trials):
        disk = pathlib.Path(temporary, "disk")
        disk.mkdir(exist_ok=True)
        size = draw(seed, "disk", number).randrange(8, needed // 256) * 1024
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], capture_output=True).returncode:
            print("full disks: not tried, since no file system can be made here")
            return bad
        try:
            went = done(runner.train("mbpo", disk, STEPS))
            filled += went.returncode != 0
            errors = [line for line in went.stderr.splitlines() if line.startswith("error")]
            fine = went.returncode == 0 or went.returncode == 6 and len(errors) == 1
            subprocess.run(["mount", "-o", f"remount,size={64 * needed}", disk], check=True)
            again = done(runner.train("mbpo", disk, STEPS))
            if not fine or again.returncode != 0 or result(folder(disk)) != want:
                bad += 1
                print(f"disk {number} of {size} bytes: exit codes {went.returncode}, {again.returncode}\n"
                      f"{went.stderr}\n{again.stderr}", flush=True)
        finally:
            subprocess.run(["umount", disk], check=True)
    print(f"{trials} disks of up to {4 * needed} bytes: {filled} filled up; "
          f"{'all byte-equal where there was room again' if not bad else f'{bad} BAD'}", flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep")
    parser.add_argument("--races", type=int, default=50)
    parser.add_argument("--disks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    runner = Runner(options.hstep)
    with tempfile.TemporaryDirectory() as temporary:
        bad = races(runner, temporary, options.races, options.seed)
        bad += disks(runner, temporary, options.disks, options.seed)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
