"""Comparing runs, many runs, and checking the papers' bounds."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from . import _hstep, _settings
from .errors import HstepError, Interrupted
from .run import PathLike, Run

Runs = Union[PathLike, Run, Sequence[Union[PathLike, Run]]]


@dataclass(frozen=True)
class Comparison:
    """What runs reached, in groups of equal settings over seeds. As ``hstep compare --json``."""

    groups: List[Dict[str, Any]]
    """One a group: its label, seeds, scores, IQM and interval."""
    overall: List[Dict[str, Any]]
    """Over all environments, where scores were normalised."""
    improvement: List[Dict[str, Any]]
    """The chance that a run of one group is better than one of the other."""

    def frame(self) -> Any:
        """The groups as a data frame of pandas."""
        import pandas

        return pandas.DataFrame(self.groups)


def compare(
    runs: Runs,
    *,
    column: str = "eval_return",
    last: int = 5,
    steps: Optional[int] = None,
    normalise: Optional[PathLike] = None,
    paired: bool = False,
) -> Comparison:
    """Compares runs, or folders of runs: interquartile means with 95 % stratified bootstrap intervals.

    A run's score is the mean of its ``last`` values of ``column``, up to ``steps`` where they are given.
    """
    several = [runs] if isinstance(runs, (str, os.PathLike, Run)) else list(runs)
    paths = [run.path if isinstance(run, Run) else pathlib.Path(run) for run in several]
    return Comparison(**json.loads(_hstep.compare(paths, column, last, steps, normalise, paired)))


def sweep(
    file: Union[PathLike, Mapping[str, Any]],
    *,
    jobs: int = 1,
    out: Optional[PathLike] = None,
    name: str = "sweep",
) -> List[Run]:
    """Runs a sweep, ``jobs`` at a time, each in a process of its own; what is done already is left.

    ``file`` is a ``.toml`` file as ``hstep sweep`` takes, or the table that it would hold, with a ``name``. Returns the
    runs in the order of the sweep.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(file, Mapping):
            path = pathlib.Path(scratch) / f"{name}.toml"
            path.write_text(_settings.table(file))
        else:
            path = pathlib.Path(file)
        command = [sys.executable, "-m", "hstep", "--quiet", "sweep", os.fspath(path), "--jobs", str(jobs)]
        place = [] if out is None else ["--out", os.fspath(out)]
        done = subprocess.run([*command, *place], stderr=subprocess.PIPE, text=True)
    if done.returncode == 75:
        raise Interrupted("interrupted: everything is saved; the same sweep goes on")
    if done.returncode != 0:
        raise HstepError(done.stderr.strip() or f"the sweep ended with {done.returncode}")
    folder = pathlib.Path(out or os.environ.get("HSTEP_RUNS") or "runs") / path.stem
    listed = json.loads((folder / "sweep.json").read_text())["runs"]
    return [Run(folder / run["folder"]) for run in listed]


def _json(x: Any) -> Any:
    """A problem as its file has it: fractions as words."""
    if isinstance(x, Mapping):
        return {str(key): _json(value) for key, value in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [_json(value) for value in x]
    if isinstance(x, Fraction):
        return f"{x.numerator}/{x.denominator}"
    if isinstance(x, np.generic):
        return x.item()
    return x


def _fractions(x: Any) -> Any:
    """The exact numbers among an answer's words as fractions."""
    if isinstance(x, dict):
        return {key: _fractions(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_fractions(value) for value in x]
    if isinstance(x, str) and x.strip("-").replace("/", "", 1).isdigit():
        return Fraction(x)
    return x


@dataclass
class _Reading:
    norm: str
    play: str
    reward_range: Optional[str]
    horizon: Optional[int]
    evaluations: Optional[int]
    seconds: Optional[float]
    seed: int


def check(
    result: str = "all",
    mdp: Union[None, PathLike, Mapping[str, Any]] = None,
    *,
    horizon: Optional[int] = None,
    norm: str = "tv",
    play: str = "receding",
    reward_range: Optional[str] = None,
    round: bool = False,
    intervals: bool = False,
    evaluations: Optional[int] = None,
    seconds: Optional[float] = None,
    seed: int = 0,
) -> Any:
    """Checks a bound of the papers, as printed and as it holds.

    With ``mdp`` on a problem of one's own, in exact numbers: a table with ``gamma``, ``transition [S][A][S]``,
    ``reward [S][A]`` and where they differ ``model`` and ``value``, or ``P`` as Gymnasium's toy tasks have it, or
    the path of such a JSON file. Numbers may be fractions, and come back as fractions; ``round`` divides rows of
    floats by their sums, ``intervals`` computes in intervals (beyond 50 states that is so anyhow). ``all`` gives a
    list. Without ``mdp`` it searches for the worst problem.
    """
    reading = _Reading(norm, play, reward_range, horizon, evaluations, seconds, seed)
    if mdp is None:
        return json.loads(_hstep.check_searched(result, reading))
    problem = json.dumps(_json(mdp)) if isinstance(mdp, Mapping) else pathlib.Path(mdp).read_text()
    answers = [_fractions(x) for x in json.loads(_hstep.check_given(result, problem, reading, round, intervals))]
    return answers if result == "all" else answers[0]
