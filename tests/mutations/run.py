#!/usr/bin/env python3
"""Breaks the core on purpose, one mutation of mutations.toml at a time, and runs the test that must notice.

    python3 tests/mutations/run.py [--only NAME ...] [--stale] [--jobs N] [--work DIR] [--write]

The tree is copied to a temporary folder (or to DIR, which is kept) and built there; the checkout is
only read. Every named test must pass before anything is broken. A mutation is caught when that very
test fails; one that does not compile, or that no longer matches the source, counts as an error.
The exit code is 0 only if every mutation was caught. `--write` puts each row into README.md as soon as it
is known, `--stale` leaves out the rows that README.md has for the present source: together they may be
killed and started again until nothing is left. The replay runs at the lowest priority.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Test binaries: the selection of `cargo test` (of the whole workspace, whose features the dependencies
# that are taken over were built with), the folder they run in, where the modules of their tests lie, and the name
# of the target.
BINARIES = {
    "lib": (["--workspace", "--lib"], ".", "src", "hstep"),
    "command": (["--workspace", "--lib"], "experiments", "experiments/src", "hstep_experiments"),
    "it": (["--workspace", "--test", "it"], ".", "tests", "it"),
    "bounds": (["--workspace", "--test", "bounds"], "proofs", "proofs/tests", "bounds"),
    "cli": (["--workspace", "--test", "cli"], "experiments", "tests/cli", "cli"),
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
fail. `--only NAME` runs one, `--stale` all that did not run at the present source; `--write` renews the
rows of this file, which is generated, one by one as they are known, so that a replay that was killed goes
on with `--stale --write`. `tests/mutations.rs` checks that every entry fits the source and this file the
entries.

{caught} of {total} were caught when they ran last. Seconds are rebuild and test together. `run` is the day
and the commit (`*`: with changes that were not committed), `source` a hash of the entry, the broken file
and the file of the test: another hash today, or none, makes a row stale.

| mutation | what is wrong | file | caught by | seconds | run | source |
|---|---|---|---|---|---|---|
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


def test_file(tree, mutation):
    """Where the test is: the longest part of its path that is a file."""
    *modules, _ = mutation["caught_by"].split("::")
    folder = tree / BINARIES[mutation["binary"]][2]
    for n in range(len(modules), 0, -1):
        stem = folder.joinpath(*modules[:n])
        for path in (stem.with_name(stem.name + ".rs"), stem / "mod.rs"):
            if path.is_file():
                return path
    return folder / "mod.rs"


def source_of(tree, mutation):
    """What a row depends on, in short: another hash means that it must run again."""
    known = hashlib.sha256()
    for key in ("find", "replace", "binary", "caught_by"):
        known.update(mutation[key].encode() + b"\0")
    for path in (tree / mutation["file"], test_file(tree, mutation)):
        known.update(path.read_bytes() if path.is_file() else b"")
    return known.hexdigest()[:8]


def copy_tree(to):
    files = set(filter(None, git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")))
    # A tree that was kept may have files that have moved since.
    for path in list(to.rglob("*.rs")):
        if str(path.relative_to(to)) not in files:
            path.unlink()
    for name in sorted(files):
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
        for name in ("src/lib.rs", "tests/it.rs", "proofs/tests/bounds.rs", "tests/cli.rs"):
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
        tests = [m for m in messages if m["reason"] == "compiler-artifact" and m["profile"]["test"]]
        named = [m["executable"] for m in tests if m["target"]["name"] == BINARIES[binary][3]]
        return [path for path in named if path][-1], ""

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


def cell(text):
    return text.replace("|", "\\|")


def read_results():
    """What README.md knows of each mutation: result, seconds, run, source; none if the test was another."""
    readme, results = HERE / "README.md", {}
    for line in readme.read_text().splitlines() if readme.exists() else []:
        cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        if line.startswith("| ") and len(cells) == 7:
            results[cells[0]] = cells[3:]
    return results


def known(results, mutation):
    row = results.get(mutation["name"])
    return row if row and (row[0] == f"`{mutation['caught_by']}`" or row[0].startswith("**")) else None


def write_readme(mutations, results):
    """The table in the order of mutations.toml, with what is known of each."""
    lines = []
    for mutation in mutations:
        row = known(results, mutation) or ["**not run yet**", "", "", ""]
        lines.append([mutation["name"], cell(mutation["why"]), f"`{mutation['file']}`", *row])
    caught = sum(not line[3].startswith("**") for line in lines)
    text = HEADER.format(total=len(lines), caught=caught)
    text += "".join("| " + " | ".join(line) + " |\n" for line in lines)
    new = HERE / "README.md.tmp"
    new.write_text(text)
    new.replace(HERE / "README.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this mutation (may be repeated)")
    parser.add_argument("--stale", action="store_true", help="only what README.md lacks for the present source")
    parser.add_argument("--jobs", type=int, metavar="N", help="threads that cargo may use")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help="build here and keep it for the next run")
    parser.add_argument("--write", action="store_true", help="write each row into README.md")
    args = parser.parse_args()
    os.nice(19)
    # An end by a scheduler removes the temporary folder, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    everything = mutations = read_mutations()
    if args.only:
        unknown = set(args.only) - {m["name"] for m in mutations}
        if unknown:
            sys.exit(f"no such mutation: {', '.join(unknown)}")
        mutations = [m for m in mutations if m["name"] in args.only]
    results = read_results()
    if args.stale:
        fresh = {m["name"] for m in mutations if (known(results, m) or [""])[-1] == source_of(ROOT, m)}
        mutations = [m for m in mutations if m["name"] not in fresh]
        print(f"{len(mutations)} of {len(everything)} are stale", flush=True)
    if args.write:
        write_readme(everything, results)
    if not mutations:
        return 0
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
            start, source = time.monotonic(), source_of(place.tree, mutation)
            result = attack(place, mutation)
            rows.append((mutation, result))
            seconds = f"{time.monotonic() - start:.0f}"
            print(f"{mutation['name']:<34} {seconds:>4} s  {mutation['caught_by']}: {result}", flush=True)
            if args.write:
                said = f"`{mutation['caught_by']}`" if result == "caught" else f"**{result.splitlines()[0]}**"
                # Another replay may have written meanwhile.
                results = read_results() | {mutation["name"]: [cell(said), seconds, when, source]}
                write_readme(everything, results)
    escaped = [mutation["name"] for mutation, result in rows if result != "caught"]
    print(f"{len(rows) - len(escaped)} of {len(rows)} caught" + "".join(f"\nNOT caught: {n}" for n in escaped))
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
