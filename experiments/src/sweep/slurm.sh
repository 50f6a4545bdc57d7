#!/bin/bash
#OPTIONS
# Trains the runs of a task side by side; runs that are done end at once. Written by `hstep sweep --slurm`.

hstep=(@HSTEP@ sweep @FILE@ --out @ROOT@ --threads @THREADS@)
pack=@PACK@
runs=@RUNS@

# bash does not forward signals to what it waits for.
pids=()
cancelled=0
forward() { for pid in "${pids[@]}"; do kill -s "$1" "$pid" 2>/dev/null; done; }
trap 'forward USR1' USR1
trap 'cancelled=1; forward TERM' TERM

first=$((SLURM_ARRAY_TASK_ID * pack))
for ((index = first; index < first + pack && index < runs; index++)); do
  "${hstep[@]}" --index "$index" &
  pids+=($!)
done

worst=0
again=0
for pid in "${pids[@]}"; do
  # A signal ends a wait, and not the run.
  while kill -0 "$pid" 2>/dev/null; do wait "$pid"; done
  wait "$pid"
  code=$?
  if [ "$code" -eq 75 ]; then again=1; elif [ "$code" -ne 0 ]; then worst=$code; fi
done

# Saved before the time was over: the task goes on from the queue. A cancelled or preempted one is Slurm's affair.
if [ "$again" -eq 1 ] && [ "$cancelled" -eq 0 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$worst"
