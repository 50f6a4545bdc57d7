"""What a reader needs to judge a rate: machine, versions, commit; no path and no name of the machine."""

import datetime
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def output(*words):
    """What a command prints, or nothing where there is no such command."""
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def processor():
    if pathlib.Path("/proc/cpuinfo").exists():
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next((l.split(":", 1)[1].strip() for l in lines if l.startswith("model name")), "")
        if model:
            return model
    return platform.processor()


def commit():
    """HEAD, and whether anything but a figure is not in it."""
    dirty = output("git", "status", "--porcelain", "-uno", "--", ".", ":!figures")
    return output("git", "rev-parse", "HEAD") + ("-dirty" if dirty else "")


def about(hstep, python, packages):
    """Of this machine, the binary `hstep`, and the interpreter `python` with its `packages`."""
    ask = f"from importlib.metadata import version as v; print(*[v(p) for p in {packages!r}])"
    versions = output(python, "-c", ask).split()
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": processor(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "hstep": output(hstep, "--version"),
        "commit": commit(),
        "rustc": output("rustc", "--version"),
        "python": output(python, "-c", "import platform; print(platform.python_version())"),
        **dict(zip(packages, versions)),
    }
