#!/usr/bin/env python3
"""Breaks the core on purpose, one mutation of mutations.toml at a time, and runs the test that must notice.

    python3 tests/mutations/run.py [--only NAME ...] [--jobs N] [--work DIR] [--write]

The tree is copied to a temporary folder (or to DIR, which is kept) and built there; the checkout is
only read. Every named test must pass before anything is broken. A mutation is caught when that very
test fails; one that does not compile, or that no longer matches the source, counts as an error.
The exit code is 0 only if every mutation was caught. `--write` puts the table into README.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Test binaries: the package and the selection of `cargo test`, and the folder they run in.
BINARIES = {
    "lib": (["-p", "hstep", "--lib"], "."),
    "it": (["-p", "hstep", "--test", "it"], "."),
    "cli": (["-p", "hstep-experiments", "--test", "cli"], "experiments"),
}
# hstep itself is rebuilt for every mutation: quickly rather than well. Its dependencies are not.
QUICK = [
    "--config", "profile.release.package.hstep.opt-level=1",
    "--config", "profile.release.package.hstep.codegen-units=32",
    "--config", "profile.release.package.hstep.debug=0",
]
FIELDS = {"name", "file", "find", "replace", "why", "binary", "caught_by"}
HEADER = """# Mutations

The core broken on purpose, one place at a time, and the test that notices. Replay with

    python3 tests/mutations/run.py

The command copies the tree to a temporary folder, builds it there, checks that every named test passes,
and then, for each entry of `mutations.toml`, applies the change, rebuilds, and expects that very test to
fail. `--only NAME` runs one; `--write` renews the rows of this file, which is generated, for what ran.

{caught} of {total} are caught. Seconds are rebuild and test together; the last column is the day and the
commit of the run (`*`: with changes that were not committed).

| mutation | what is wrong | file | caught by | seconds | run |
|---|---|---|---|---|---|
"""
# Seconds a single test may take before it counts as hanging.
LIMIT = 300


def git(*args):
    return subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=True).stdout


def read_mutations():
    mutations = tomllib.loads((HERE / "mutations.toml").read_text())["mutation"]
    for mutation in mutations:
        assert set(mutation) == FIELDS, f"{mutation.get('name')}: expected the fields {sorted(FIELDS)}"
        assert mutation["binary"] in BINARIES, f"{mutation['name']}: unknown binary"
    names = [mutation["name"] for mutation in mutations]
    assert len(names) == len(set(names)), "a name is used twice"
    return mutations


def copy_tree(to):
    files = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        source, target = ROOT / name, to / name
        if source.is_file() and not (target.is_file() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def seed_target(target):
    """Takes over the dependencies that the checkout has built already; times must stay."""
    built = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    for part in ("build", "deps", ".fingerprint"):
        if (built / part).is_dir() and not (target / "release" / part).exists():
            subprocess.run(["mkdir", "-p", target / "release"], check=True)
            subprocess.run(["cp", "-a", built / part, target / "release"], check=True)


class Workplace:
    def __init__(self, folder, jobs):
        self.tree, target = folder / "tree", folder / "target"
        self.tree.mkdir(parents=True, exist_ok=True)
        copy_tree(self.tree)
        seed_target(target)
        # The tests carry the path of the tree they were compiled in: never take them over.
        for name in ("src/lib.rs", "tests/it.rs", "tests/cli.rs"):
            (self.tree / name).touch()
        self.cargo = ["cargo", "test", "--release", "--locked", "--no-run", "--message-format=json"]
        self.cargo += QUICK + (["--jobs", str(jobs)] if jobs else [])
        self.env = os.environ | {
            "CARGO_TARGET_DIR": str(target),
            "CARGO_INCREMENTAL": "1",
            "RAYON_NUM_THREADS": "1",
        }

    def build(self, binary):
        """The path of the test binary, or `None` and what the compiler said."""
        done = subprocess.run(
            self.cargo + BINARIES[binary][0], cwd=self.tree, env=self.env, capture_output=True, text=True
        )
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0:
            said = [m["message"]["rendered"] for m in messages if m["reason"] == "compiler-message"]
            return None, "".join(said) + done.stderr
        paths = [m["executable"] for m in messages if m["reason"] == "compiler-artifact" and m["profile"]["test"]]
        return [path for path in paths if path][-1], ""

    def run(self, binary, executable, test):
        """`ok`, `FAILED`, or what else became of the test."""
        try:
            done = subprocess.run(
                [executable, "--exact", test, "--test-threads", "1"],
                cwd=self.tree / BINARIES[binary][1], env=self.env, capture_output=True, text=True, timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            return "hangs"
        if "running 1 test" not in done.stdout:
            return "no such test"
        if done.returncode == 0:
            return "ok"
        # A test that takes the process down with it has failed, too.
        return "FAILED" if f"test {test} ... FAILED" in done.stdout or done.returncode < 0 else "broken"


def baseline(place, mutations):
    problems = []
    for binary in sorted({m["binary"] for m in mutations}):
        executable, said = place.build(binary)
        if executable is None:
            sys.exit(f"the unbroken tree does not compile:\n{said}")
        for test in sorted({m["caught_by"] for m in mutations if m["binary"] == binary}):
            result = place.run(binary, executable, test)
            if result != "ok":
                problems.append(f"unbroken, {binary} {test}: {result}")
    return problems


def attack(place, mutation):
    path = place.tree / mutation["file"]
    source = path.read_text()
    count = source.count(mutation["find"])
    if count != 1:
        return f"stale: `find` occurs {count} times"
    try:
        path.write_text(source.replace(mutation["find"], mutation["replace"]))
        executable, said = place.build(mutation["binary"])
        if executable is None:
            return "does not compile:\n" + said
        result = place.run(mutation["binary"], executable, mutation["caught_by"])
    finally:
        path.write_text(source)
    return {"FAILED": "caught", "ok": "SURVIVED"}.get(result, result)


def moment():
    """The day and the commit of the tree that is about to be copied."""
    dirty = "*" if git("status", "--porcelain", "--", "src", "tests/*.rs").strip() else ""
    return f"{datetime.date.today()} {git('rev-parse', '--short=8', 'HEAD').strip()}{dirty}"


def write_readme(mutations, rows, when):
    """Renews the rows that ran; keeps those of earlier runs for mutations that are still there."""
    readme = HERE / "README.md"
    old = readme.read_text().splitlines() if readme.exists() else []
    table = {line.split(" | ")[0].removeprefix("| "): line for line in old if line.startswith("| ")}
    for mutation, result, seconds in rows:
        test = f"`{mutation['caught_by']}`" if result == "caught" else f"**{result.splitlines()[0]}**"
        cells = [mutation["name"], mutation["why"], f"`{mutation['file']}`", test, f"{seconds:.0f}", when]
        table[mutation["name"]] = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    lines = [table.get(mutation["name"], f"| {mutation['name']} | **not run yet** |") for mutation in mutations]
    escaped = sum("**" in line for line in lines)
    readme.write_text(HEADER.format(total=len(lines), caught=len(lines) - escaped) + "\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this mutation (may be repeated)")
    parser.add_argument("--jobs", type=int, metavar="N", help="threads that cargo may use")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help="build here and keep it for the next run")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    args = parser.parse_args()
    everything = mutations = read_mutations()
    if args.only:
        unknown = set(args.only) - {m["name"] for m in mutations}
        if unknown:
            sys.exit(f"no such mutation: {', '.join(unknown)}")
        mutations = [m for m in mutations if m["name"] in args.only]
    # One test binary after the other: switching costs another link.
    mutations = sorted(mutations, key=lambda m: list(BINARIES).index(m["binary"]))

    with tempfile.TemporaryDirectory(prefix="hstep-mutations-") as temporary:
        start, when = time.monotonic(), moment()
        place = Workplace((args.work or pathlib.Path(temporary)).resolve(), args.jobs)
        problems = baseline(place, mutations)
        print(f"the unbroken tree: {len(problems)} problems, {time.monotonic() - start:.0f} s", flush=True)
        if problems:
            sys.exit("\n".join(problems))
        rows = []
        for mutation in mutations:
            start = time.monotonic()
            result = attack(place, mutation)
            rows.append((mutation, result, time.monotonic() - start))
            print(f"{mutation['name']:<34} {rows[-1][2]:4.0f} s  {mutation['caught_by']}: {result}", flush=True)
    if args.write:
        write_readme(everything, rows, when)
    escaped = [mutation["name"] for mutation, result, _ in rows if result != "caught"]
    print(f"{len(rows) - len(escaped)} of {len(rows)} caught" + "".join(f"\nNOT caught: {n}" for n in escaped))
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
