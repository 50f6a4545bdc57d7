"""Measuring rates in the way of `hstep bench`, for the programs beside this file."""

import math
import sys
import time

WINDOW = 0.25
# Seconds and calls of warming up: a workload that was just built, and one that ran before.
FIRST, AGAIN = (0.5, 2), (0.25, 1)
# Seconds a call. One that is longer needs no warming up again: caches fill in its first milliseconds.
LONG = 1.0


def arguments(*variants):
    """Workload (`-`: standard input asks for them), variant, threads and seconds (None after `-`)."""
    words = sys.argv[1:]
    serves = words[:1] == ["-"]
    if len(words) != (3 if serves else 4) or words[1] not in variants:
        program, choice = sys.argv[0], "|".join(variants)
        sys.exit(f"usage: {program} WORKLOAD {choice} THREADS SECONDS\n"
                 f"   or: {program} - {choice} THREADS    with lines `WORKLOAD SECONDS` on standard input")
    return words[0], words[1], int(words[2]), None if serves else float(words[3])


def repeat(step, seconds, calls):
    """Calls `step` until both are used up; says how often it was called."""
    start, done = time.perf_counter(), 0
    while done < calls or time.perf_counter() - start < seconds:
        step()
        done += 1
    return done


class Bench:
    """One contender. `workloads` are functions that build a step and say its units of work."""

    def __init__(self, contender, threads, workloads):
        self.contender, self.threads, self.workloads = contender, threads, workloads
        self.built, self.call_seconds = {}, {}

    def measure(self, workload, seconds):
        """Builds the workload if this is the first time, warms up, measures; the RESULT line."""
        if workload not in self.workloads:
            known = ", ".join(self.workloads)
            raise ValueError(f"{self.contender} has no workload `{workload}`; there are: {known}")
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"expected a number of seconds above 0, got {seconds}")
        if workload not in self.built:
            self.built[workload] = self.workloads[workload]()
        step, units = self.built[workload]
        if self.call_seconds.get(workload, 0) <= LONG:
            least, least_calls = AGAIN if workload in self.call_seconds else FIRST
            repeat(step, min(least, seconds), least_calls)
        windows, calls = [], 0
        start, processor = time.perf_counter(), time.process_time()
        while not windows or time.perf_counter() - start < seconds:
            begun = time.perf_counter()
            done = repeat(step, min(WINDOW, seconds), 1)
            windows.append(done * units / (time.perf_counter() - begun))
            calls += done
        per_cpu = calls * units / max(time.process_time() - processor, 1e-9)
        self.call_seconds[workload] = (time.perf_counter() - start) / calls
        windows.sort()
        median, best = windows[len(windows) // 2], windows[-1]
        return (f"RESULT {workload} {self.contender} t{self.threads} "
                f"med {median:.3f} best {best:.3f} percpu {per_cpu:.3f}")

    def answer(self, line):
        """The RESULT line that a request asks for, or one line that says why there is none."""
        try:
            words = line.split()
            if len(words) != 2:
                raise ValueError(f"expected `WORKLOAD SECONDS`, got `{line.strip()}`")
            return self.measure(words[0], float(words[1]))
        except Exception as error:  # whatever it is, the next request may do better
            return f"ERROR {type(error).__name__}: {' '.join(str(error).split())}"


def run(workload, contender, threads, seconds, workloads):
    """Measures one workload, or (`-`) those that standard input asks for, until it ends."""
    bench = Bench(contender, threads, workloads)
    if workload == "-":
        for line in sys.stdin:
            print(bench.answer(line), flush=True)
        return
    try:
        print(bench.measure(workload, seconds))
    except ValueError as error:
        sys.exit(str(error))
