"""What is written for people works: the README's script, the examples, the notebooks."""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(code, place, *arguments):
    env = os.environ | {"MPLBACKEND": "agg", "HSTEP_RUNS": str(place / "runs")}
    line = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(line, cwd=place, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("document", [ROOT / "README.md", ROOT.parent / "README.md"], ids=["python", "main"])
def test_the_scripts_of_the_readmes_run_as_written(document, tmp_path):
    scripts = re.findall(r"```python\n(.*?)```", document.read_text(), re.S)
    assert len(scripts) == 1
    assert len(scripts[0].strip().splitlines()) <= 11
    run(scripts[0], tmp_path)
    assert list(tmp_path.glob("*.png"))


SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_examples_run_and_are_short(script, tmp_path):
    needs = {"plan_mujoco": "mujoco", "optuna_search": "optuna"}.get(script.stem)
    if needs:
        pytest.importorskip(needs)
    assert len(SCRIPTS) == 6 and len(script.read_text().splitlines()) <= 40
    shorter = {"compare_two": ["1000"], "optuna_search": ["6", "1500"]}
    said = run(script.read_text(), tmp_path, *shorter.get(script.stem, []))
    if script.stem == "own_environment":
        returns = [float(x) for x in re.search(r"returns \[(.*)\]", said)[1].split()]
        assert returns[-1] > 80.0 > returns[0]
    if script.stem == "plan_mujoco":
        assert float(said.split("=")[-1]) > 0.9


@pytest.mark.parametrize("name", ["hybrid", "bound"])
def test_the_notebooks_run_from_top_to_bottom(name, tmp_path):
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 4
    for cell in code:
        ast.parse(cell)
    run("\n\n".join(code), tmp_path)
