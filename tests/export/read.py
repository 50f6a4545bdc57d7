#!/usr/bin/env python3
"""Reads what `hstep export` writes as other programs do: npz with numpy, safetensors by its header, ONNX with onnxruntime;
what they compute has to be what hstep computes, which the files hold for a few rows.

    python3 tests/export/read.py [--hstep target/release/hstep]

Needs `numpy`, `onnx` and `onnxruntime`.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

SMALL = "loop.random_steps=120 actor.hidden=[16,16] critic.hidden=[16] loop.batch=32 run.eval.episodes=1".split()
MODEL = "model.hidden=[16] model.members=3 model.elites=2 model.weight_decay=[] model.max_epochs=2 imagine.starts=60".split()
RUNS = {
    "sac": SMALL,
    "maac": SMALL + MODEL + ["loop.fit_every=60", "loop.updates_per_step=1"],
    # Standardised observations, bounds of the value, deviations by softplus, swish.
    "dhmbpo": SMALL + MODEL + ["loop.block.steps=40", "loop.block.random=1"],
}


def close(got, want, what):
    error = numpy.abs(got - want).max() / max(1.0, numpy.abs(want).max())
    if got.shape != want.shape or not error < 1e-6:
        sys.exit(f"{what}: shapes {got.shape} and {want.shape}, relative error {error}")
    print(f"ok  {what}: {error:.1e}")


def safetensors(path):
    with open(path, "rb") as file:
        (n,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(n))
        data = file.read()
    words = head.pop("__metadata__")
    kinds = {"F32": numpy.float32, "U32": numpy.uint32, "F64": numpy.float64, "I64": numpy.int64, "U8": numpy.uint8}
    tensors = {}
    for name, entry in head.items():
        start, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(data[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors, words


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default="target/release/hstep", type=pathlib.Path)
    hstep = parser.parse_args().hstep.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        for algo, settings in RUNS.items():
            train = [hstep, "train", algo, "--env", "pendulum", "--steps", "220", "--out", root]
            subprocess.run(train + settings, check=True, capture_output=True)
            run = next(root.glob(f"train/{algo}-*"))
            for kind in ("npz", "safetensors", "onnx"):
                subprocess.run([hstep, "export", run, "--format", kind], check=True, capture_output=True)
            arrays = dict(numpy.load(run / "export/run.npz"))
            about = json.loads(bytes(arrays.pop("about").astype(numpy.uint8)))
            assert about["env"] == "pendulum" and about["action_high"] == [2.0], about
            tensors, words = safetensors(run / "export/run.safetensors")
            assert "pendulum" in str(words), words
            assert sorted(tensors) == sorted(arrays) and all((tensors[n] == arrays[n]).all() for n in arrays)
            assert not any("adam" in name for name in arrays), sorted(arrays)

            def graph(name, **given):
                path = run / f"export/{name}.onnx"
                onnx.checker.check_model(onnx.load(path), full_check=True)
                session = onnxruntime.InferenceSession(path)
                names = [output.name for output in session.get_outputs()]
                return dict(zip(names, session.run(names, given)))

            obs, action = arrays["example.obs"], arrays["example.action"]
            policy = graph("policy", obs=obs)
            close(policy["action"], arrays["example.mode"], f"{algo}: action")
            close(numpy.tanh(policy["mean"]), arrays["example.mode"], f"{algo}: mean")
            close(graph("critic", obs=obs, action=action)["q"], arrays["example.q"], f"{algo}: values")
            if "example.next_obs" in arrays:
                model = graph("model", obs=obs, action=action)
                elites = arrays["model.elites"].astype(int)
                close(model["next_obs"][elites].mean(0), arrays["example.next_obs"], f"{algo}: next observation")
                close(model["reward"][elites].mean(0), arrays["example.reward"], f"{algo}: reward")


if __name__ == "__main__":
    main()
