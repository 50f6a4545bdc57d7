"""Optuna searches settings; a trial that falls behind ends early, and its run folder stays."""

import sys

import optuna

import hstep

TRIALS, STEPS = (int(x) for x in sys.argv[1:3]) if len(sys.argv) > 2 else (20, 3000)


def objective(trial):
    own = {
        "gamma": 1.0 - trial.suggest_float("one_minus_gamma", 0.003, 0.3, log=True),
        "actor.lr": trial.suggest_float("actor_lr", 1e-4, 1e-2, log=True),
        "loop.updates_per_step": trial.suggest_int("updates", 1, 4),
    }

    def report(row):
        trial.report(row["eval_return"], int(row["env_steps"]))
        return not trial.should_prune()

    run = hstep.train("sac", "pendulum", seed=100, steps=STEPS, out="search", callback=report, **own)
    if run.about["env_steps"] < STEPS:
        raise optuna.TrialPruned
    return run.metrics["eval_return"][-3:].mean()


pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1000)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
study.optimize(objective, n_trials=TRIALS)
print(f"best {study.best_value:.0f} with {study.best_params}")
