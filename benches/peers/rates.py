"""Measuring a rate in the way of `hstep bench`, for the programs beside this file."""

import sys
import time

WINDOW, WARM_UP, WARM_UP_CALLS = 0.25, 0.5, 2


def arguments(*variants):
    """Workload, variant, threads and seconds from the command line."""
    if len(sys.argv) != 5 or sys.argv[2] not in variants:
        sys.exit(f"usage: {sys.argv[0]} WORKLOAD {'|'.join(variants)} THREADS SECONDS")
    return sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])


def repeat(step, seconds, calls):
    """Calls `step` until both are used up; says how often it was called."""
    start, done = time.perf_counter(), 0
    while done < calls or time.perf_counter() - start < seconds:
        step()
        done += 1
    return done


def report(workload, contender, threads, seconds, step, units):
    """Warms up, measures, and prints the RESULT line; a call does `units` units of work."""
    repeat(step, min(WARM_UP, seconds), WARM_UP_CALLS)
    windows, calls = [], 0
    start, processor = time.perf_counter(), time.process_time()
    while not windows or time.perf_counter() - start < seconds:
        begun = time.perf_counter()
        done = repeat(step, min(WINDOW, seconds), 1)
        windows.append(done * units / (time.perf_counter() - begun))
        calls += done
    per_cpu = calls * units / max(time.process_time() - processor, 1e-9)
    windows.sort()
    median, best = windows[len(windows) // 2], windows[-1]
    print(f"RESULT {workload} {contender} t{threads} med {median:.3f} best {best:.3f} percpu {per_cpu:.3f}")
