#!/usr/bin/env python3
"""Changes one file of a run folder at random, as a failing disk, a power cut or a hand would, and resumes the run.

    python3 tests/crash/mutations.py [--trials 2000] [--seed 1] [--hstep target/release/hstep]

A trial passes where the resumed run is byte-equal to an undisturbed one, or is refused by one error that names the
place, or is mended by `hstep repair`, which says what is lost. It fails where the run ends otherwise without a word, hangs,
dies of a signal, or reports a fault of its own. Exit code 0 if all pass.
"""

import argparse
import collections
import pathlib
import shutil
import sys
import tempfile

from runs import Runner, done, draw, folder, result

FIRST, STEPS = 270, 400
REFUSED = {2, 3, 4, 5, 6}
# Clock times and the like, which no run goes on from, and empty marks.
FREE = {"timing.csv", "LOCK", "DONE"}


def files(run):
    return sorted(path for path in run.rglob("*") if path.is_file())


def flip(random, data, _):
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1:]


def block(random, data, _):
    """A sector of zeros, or of something else."""
    at, n = random.randrange(len(data)), random.choice([1, 16, 512, 4096])
    new = random.choice([bytes(n), random.randbytes(n)])[:len(data) - at]
    return data[:at] + new + data[at + n:]


def digit(random, data, _):
    """A number becomes another one."""
    places = [i for i, byte in enumerate(data) if chr(byte) in "0123456789"]
    if not places:
        return data[:-1]
    at = random.choice(places)
    return data[:at] + str((int(chr(data[at])) + random.randrange(1, 10)) % 10).encode() + data[at + 1:]


def line(random, data, _):
    """A line is lost, or stands twice."""
    lines = data.splitlines(keepends=True)
    at = random.randrange(len(lines))
    return b"".join(lines[:at] + random.choice([[], [lines[at]] * 2]) + lines[at + 1:])


def swapped(random, data, run):
    """What another file holds."""
    return random.choice(files(run)).read_bytes()


KINDS = {
    "bit flipped": flip,
    "block overwritten": block,
    "cut short": lambda random, data, _: data[:random.randrange(len(data))],
    "emptied": lambda *_: b"",
    "lengthened": lambda random, data, _: data + random.randbytes(random.choice([1, 100])),
    "digit changed": digit,
    "line lost or twice": line,
    "another's content": swapped,
    "removed": None,
}


def place(path, run):
    """Words, one of which an error about this file has to hold."""
    name = path.relative_to(run)
    return {str(name), path.name, path.stem} | ({"ckpt"} if name.parts[0] == "ckpt" else set())


def trial(runner, base, want, number, seed):
    """The file, the kind of change, and what came of it."""
    random = draw(seed, number)
    with tempfile.TemporaryDirectory() as temporary:
        run = pathlib.Path(temporary, base.name)
        shutil.copytree(base, run)
        path = random.choice(files(run))
        kind = random.choice(list(KINDS))
        data = path.read_bytes()
        if KINDS[kind] is None:
            path.unlink()
        else:
            path.write_bytes(KINDS[kind](random, data, run) if data else random.randbytes(1))
        shown = f"{path.relative_to(base.parent if base in path.parents else run)}: {kind}"
        went = done(runner.resume(run, STEPS))
        if went.returncode == 0:
            equal = result(run) == want
            warned = "WARN" in went.stderr
            return shown, path, ("equal, warned" if warned else "equal") if equal else "DIFFERENT", went
        if went.returncode not in REFUSED:
            return shown, path, "DIED", went
        errors = [text for text in went.stderr.splitlines() if text.startswith("error")]
        if len(errors) != 1 or not any(word in went.stderr for word in place(path, run)):
            return shown, path, "NO PLACE", went
        mended = done([runner.hstep, "repair", str(run)])
        if mended.returncode not in REFUSED | {0}:
            return shown, path, "DIED", mended
        if mended.returncode != 0:
            return shown, path, "refused", went
        again = done(runner.resume(run, STEPS))
        if again.returncode != 0:
            return shown, path, "NOT MENDED", again
        return shown, path, "repaired, equal" if result(run) == want else "repaired, with loss", mended


def kind_of(path, run):
    name = path.relative_to(run).parts
    if name[0] == "ckpt":
        return "manifest" if len(name) == 2 else name[1]
    return "events" if "tfevents" in name[0] else name[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this trial alone")
    options = parser.parse_args()
    runner, bad = Runner(options.hstep), 0
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        bases = []
        for algo in ["mbpo", "sac", "polo"]:
            root, undisturbed = pathlib.Path(temporary, algo), pathlib.Path(temporary, algo + "-whole")
            for line in [runner.train(algo, root, FIRST), runner.train(algo, undisturbed, STEPS)]:
                made = done(line)
                if made.returncode != 0:
                    sys.exit(f"{' '.join(line)}: exit code {made.returncode}\n{made.stderr}")
            bases.append((folder(root), result(folder(undisturbed))))
        numbers = [options.only] if options.only is not None else range(options.trials)
        for number in numbers:
            base, want = bases[number % len(bases)]
            shown, path, outcome, went = trial(runner, base, want, number, options.seed)
            run = next(p for p in path.parents if p.name == base.name)
            free = path.name in FREE or "tfevents" in path.name
            counts[kind_of(path, run), outcome] += 1
            if outcome.isupper() or options.only is not None or free and outcome not in ("equal", "equal, warned"):
                bad += outcome.isupper()
                print(f"trial {number}: {shown}: {outcome}, exit code {went.returncode}\n{went.stderr}", flush=True)
    outcomes = sorted({outcome for _, outcome in counts})
    print("| file | " + " | ".join(outcomes) + " |\n" + "|---|" + "--:|" * len(outcomes))
    for kind in sorted({kind for kind, _ in counts}):
        print(f"| {kind} | " + " | ".join(str(counts[kind, outcome]) for outcome in outcomes) + " |")
    print(f"{len(numbers)} changes, {bad or 'none'} silently different, dead or without a place")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
