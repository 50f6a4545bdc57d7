#!/usr/bin/env python3
"""Makes the seeds of the corpus: small whole examples of each format, from which the fuzzer goes on.

    python3 fuzz/seeds.py RUN      a run folder of a few steps and small networks
"""

import json
import pathlib
import struct
import sys

CORPUS = pathlib.Path(__file__).parent / "corpus"
NEXT = b"\n--next--\n"


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def checkpoint(run):
    """The newest manifest with placeholders in place of hashes and sizes, and the files it names."""
    manifest = sorted((run / "ckpt").glob("manifest-*.json"))[-1]
    body = json.loads(manifest.read_text())["body"]
    body["step"] = 7
    files = []

    def blob(entry, folder, ending):
        files.append((run / "ckpt" / folder / f"{entry['hash']}.{ending}").read_bytes())
        entry.update(hash=f"@HASH{len(files) - 1}@", bytes=f"@BYTES{len(files) - 1}@")

    for buffer in body["buffers"].values():
        for chunk in buffer["chunks"]:
            blob(chunk, "chunks", "chunk")
    for part in body["parts"].values():
        blob(part, "tensors", "safetensors")
    text = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    put("checkpoint", "whole", NEXT.join([text] + files))
    put("checkpoint", "manifest", manifest.read_bytes())
    for i, data in enumerate(files):
        if not data.startswith(b"hstepchk"):
            put("store", f"part-{i}", data)


def frames():
    def frame(data):
        return struct.pack("<I", len(data) + 1) + b"\0" + data

    hello = b"HSTEPGYM" + struct.pack("<I", 2)
    # Observations of 3, actions of 1, a time limit of 200, bounds, and what Python tells beside.
    made = struct.pack("<IIQ2d", 3, 1, 200, -2.0, 2.0) + b'{"versions":{"python":"3"},"functions":[]}'
    obs = struct.pack("<3d", 1.0, 0.0, -1.0)
    step = obs + struct.pack("<dB", 0.5, 0)
    put("frames", "two-steps", hello + frame(made) + frame(obs) + frame(step) + frame(step))
    put("frames", "failed", hello + struct.pack("<I", 6) + b"\1wrong")


def main():
    run = pathlib.Path(sys.argv[1])
    checkpoint(run)
    put("metrics", "rows", (run / "metrics.csv").read_bytes())
    put("metrics", "timing", (run / "timing.csv").read_bytes())
    frames()
    put("config", "file", b"maac\n[improve]\nhorizon = 2\nsamples = 3\n---\nmodel.members=3\nmodel.elites=2\n")
    put("config", "kinds", b'polo-paper\n[model]\nkind = "ensemble"\n[behave]\nkind = "plan"\nhorizon = [0.0, 9.0, 1.0, 4.0]\n---\nplanner.kind=cem\n')
    put("config", "cured", b"mopac-cured\n\n---\nmodel.noise=per-input\nmodel.beta=0.5\n")
    process = {
        "gamma": "9/10",
        "transition": [[["1/2", "1/2"], [1, 0]], [[0, 1], ["1/4", 0.75]]],
        "reward": [[1, 0], [0, "1/3"]],
        "model": [[["1/3", "2/3"], [1, 0]], [[0, 1], ["1/4", 0.75]]],
        "value": [0, 1],
    }
    put("mdp", "two-states", json.dumps(process).encode())
    put("mdp", "rounded", json.dumps({**process, "model": [[[0.3333333333, 0.6666666666], [1, 0]], [[0, 1], [0.25, 0.75]]]}).encode())


if __name__ == "__main__":
    main()
