#!/usr/bin/env python3
"""Simulated run folders, to time `hstep compare` and `hstep report` with.

    simulate.py DIR [--algos 10] [--envs 10] [--seeds 10] [--rows 1000]

Metrics have the columns and the widths of a real run of MBPO; their numbers are random walks.
"""
import argparse
import json
import pathlib
import random

HEAD = (
    "env_steps,model_steps,grad_steps,fit_steps,episodes,eval_return,eval_std,eval_length,train_return,"
    "train_length,critic_loss,q_mean,actor_loss,entropy,alpha,imagined,model_epochs,model_nll,"
    "model_cover_50,model_cover_90,model_rmse_0,model_rmse_1,model_rmse_2,model_rmse_3,open_loop_rmse_1,"
    "open_loop_rmse_5,open_loop_rmse_15"
).split(",")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    for name, usual in [("algos", 10), ("envs", 10), ("seeds", 10), ("rows", 1000)]:
        parser.add_argument(f"--{name}", type=int, default=usual)
    args = parser.parse_args()
    rng = random.Random(0)
    for algo in range(args.algos):
        for env in range(args.envs):
            for seed in range(args.seeds):
                folder = args.folder / f"a{algo}-e{env}-s{seed}"
                folder.mkdir(parents=True, exist_ok=True)
                run(folder, f"a{algo}", f"e{env}", seed, args.rows, rng)


def run(folder, algo, env, seed, rows, rng):
    config = f'[improve]\nhorizon = 3\n[run]\nalgo = "{algo}"\nenv = "{env}"\nseed = {seed}\nsteps = {rows * 1000}\n'
    (folder / "config.toml").write_text(config)
    (folder / "meta.json").write_text(json.dumps({"threads": 1, "hstep": "0.1.0"}))
    (folder / "DONE").write_text("\n")
    value, lines, times = rng.gauss(0, 100), [",".join(HEAD)], ["env_steps,updates_s,total_s", "0,0,0"]
    for row in range(rows):
        value += rng.gauss(1 + int(algo[1:]) / 10, 20)
        cells = [str(1000 * row), str(40000 * row), str(1000 * row), str(200 * row), str(row), repr(value)]
        lines.append(",".join(cells + [repr(rng.random())] * (len(HEAD) - 6)))
        times.append(f"{1000 * row},{row * 9.5},{(row + 1) * 10.25}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "timing.csv").write_text("\n".join(times) + "\n")


if __name__ == "__main__":
    main()
