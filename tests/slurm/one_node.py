#!/usr/bin/env python3
"""`hstep sweep --slurm` on a real Slurm of one node, which this starts and ends.

    python3 tests/slurm/one_node.py [--hstep target/release/hstep]

Needs `slurm-wlm` and `munge`, and root. Checked: the array is submitted and all tasks are done; a task that is put back
into the queue while it trains goes on to the same bytes; one whose time is nearly over puts itself back; one that is
cancelled is open, and a second submission does it alone; one that fails is reported. Python's standard library only.
"""

import argparse
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=300
KillWait=10
SchedulerParameters=bf_interval=1,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

SWEEP = """[run]
steps = {steps}
checkpoint_every = 100
checkpoint_share = 1.0
[run.eval]
every = 50
episodes = 1
[loop]
random_steps = 100
[sweep]
algos = ["sac"]
envs = ["pendulum"]
seeds = "0..{last}"
[slurm]
time = "{time}"
pack = {pack}
{more}
"""


def until(what, said, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = what()
        if answer:
            return answer
        time.sleep(0.2)
    sys.exit(f"not within {seconds} s: {said}")


def said(*words, code=0, **more):
    out = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if out.returncode != code:
        sys.exit(f"{' '.join(map(str, words))}: exit code {out.returncode}\n{out.stdout}{out.stderr}")
    return out.stdout + out.stderr


def expect(found, what):
    if not found:
        sys.exit(f"not so: {what}")
    print(f"ok  {what}", flush=True)


@contextlib.contextmanager
def munge(folder):
    """munged with a key of its own, unless one runs."""
    if subprocess.run(["sh", "-c", "munge -n | unmunge"], capture_output=True).returncode == 0:
        yield
        return
    user = pwd.getpwnam("munge")
    key, run = pathlib.Path("/etc/munge/munge.key"), pathlib.Path("/run/munge")
    run.mkdir(mode=0o755, exist_ok=True)
    if not key.exists():
        key.write_bytes(os.urandom(1024))
    for path in (run, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    key.chmod(0o400)
    said("runuser", "-u", "munge", "--", "munged")
    until(lambda: subprocess.run(["sh", "-c", "munge -n | unmunge"], capture_output=True).returncode == 0, "munge answers")
    try:
        yield
    finally:
        pid = int((run / "munged.pid").read_text())
        os.kill(pid, signal.SIGTERM)


@contextlib.contextmanager
def slurm(folder):
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=host, folder=folder, cpus=os.cpu_count()))
    os.environ["SLURM_CONF"] = str(config)
    with munge(folder):
        try:
            said("slurmctld")
            said("slurmd")
            until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T"), "the node is idle")
            yield
        finally:
            for name in ("d.pid", "ctld.pid"):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int((folder / name).read_text()), signal.SIGTERM)


def results(folder):
    """The rows of every run, by its name."""
    return {run.name: (run / "metrics.csv").read_bytes() for run in folder.iterdir() if (run / "metrics.csv").exists()}


class Sweep:
    def __init__(self, hstep, root, name, steps=600, last=3, time="10:00", pack=1, more=""):
        self.hstep, self.root, self.folder = hstep, root, root / "runs" / name
        self.file = root / f"{name}.toml"
        self.file.write_text(SWEEP.format(steps=steps, last=last, time=time, pack=pack, more=more))

    def command(self, *more, root="runs", code=0):
        return said(self.hstep, "sweep", self.file, "--out", self.root / root, *more, code=code)

    def submit(self):
        return int(re.search(r"job (\d+):", self.command("--slurm"))[1])

    def undisturbed(self):
        self.command("--jobs", os.cpu_count(), root="alone")
        return results(self.root / "alone" / self.folder.name)

    def wait(self):
        looks = []

        # A task on its way from one state to the next is in no list for a moment.
        def is_empty():
            looks.append("; 0 tasks in the queue" in self.command("--status"))
            return len(looks) >= 15 and all(looks[-15:])

        until(is_empty, f"the queue of {self.file.name} is empty")
        return self.command("--status")

    def steps(self, seed):
        with contextlib.suppress(IndexError, StopIteration, OSError):
            run = next(self.folder.glob(f"*-s{seed}-*"))
            return int((run / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
        return -1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep", type=pathlib.Path)
    options = parser.parse_args()
    hstep = options.hstep.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        (root / "slurm").mkdir()
        refused = Sweep(hstep, root, "nowhere").command("--slurm", code=2) if not shutil.which("sbatch") else ""
        if refused:
            sys.exit("this needs slurm-wlm: " + refused)
        with slurm(root / "slurm"):
            script = Sweep(hstep, root, "plain").command("--slurm", "--dry-run")
            expect("#SBATCH --array=0-3" in script and "scontrol requeue" in script, "the script can be looked at")

            plain = Sweep(hstep, root, "plain")
            job = plain.submit()
            status = plain.wait()
            expect(status.count("done ") == 4 and "4 done" in status, f"array {job}: all four tasks are done")
            expect(results(plain.folder) == plain.undisturbed(), "their rows are those of runs without Slurm")
            expect("all 4 runs are done" in plain.command("--slurm"), "and there is nothing left to submit")

            # Put back by hand, as preemption does; two runs a task.
            again = Sweep(hstep, root, "again", steps=6000, last=1, pack=2)
            job = again.submit()
            until(lambda: again.steps(0) >= 200 and again.steps(1) >= 200, "the task trains")
            expect("has 1 tasks in the queue" in again.command("--slurm", code=2), "it is not submitted twice")
            said("scontrol", "requeue", f"{job}_0")
            until(lambda: "pending" in again.command("--status"), "the task is back in the queue")
            stopped = again.steps(0)
            # Slurm has it wait for two minutes.
            said("scontrol", "update", f"job={job}_0", "starttime=now")
            status = again.wait()
            expect("2 done" in status and stopped < 6000, f"a task put back at step {stopped} is done")
            expect(results(again.folder) == again.undisturbed(), "and its rows are those of undisturbed runs")

            # Two minutes of time: the warning comes at once, and the task puts itself back.
            late = Sweep(hstep, root, "late", steps=1_000_000, last=0, time="2:00")
            job = late.submit()
            log = late.folder / f"logs/slurm-{job}_0.log"
            until(lambda: log.exists() and "interrupted" in log.read_text(), "the warning has come")
            until(lambda: "pending" in late.command("--status") or "running" in late.command("--status"), "it is in the queue again")
            said("scancel", job)
            late.wait()
            expect("interrupted" in late.command("--list"), "a task whose time is nearly over puts itself back into the queue")

            cut = Sweep(hstep, root, "cut", steps=6000, last=1)
            job = cut.submit()
            until(lambda: cut.steps(1) >= 200, "the second task trains")
            said("scancel", f"{job}_1")
            status = cut.wait()
            expect("1 done" in status and "2 done" not in status, "a cancelled task is open")
            expect("1 of 2 runs in 1 tasks" in cut.command("--slurm"), "a second submission does it alone")
            expect("2 done" in cut.wait() and results(cut.folder) == cut.undisturbed(), "to the same bytes")

            bad = Sweep(hstep, root, "bad", last=0, more="[[sweep.list]]\nactor.lr = 3e-4\n[[sweep.list]]\nactor.lr = 1e30\ncritic.lr = 1e30")
            bad.submit()
            status = bad.wait()
            failed = next(line for line in status.splitlines() if "failed" in line)
            expect("1 done" in status and re.search(r"failed .*(loss|NaN|finite|infinite|not)", failed), "a failing task is reported: " + failed.strip()[:150])


if __name__ == "__main__":
    main()
