"""Environments that do what is asked of them, and fail as they are told to."""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading

import gymnasium
from gymnasium.spaces import Box, Discrete


class Line(gymnasium.Env):
    """`x' = gain x + first - 2 second`, reward `x' - first second`, the end beyond `edge`.

    `then` is what it does in its step number `at`, counted over all its episodes.
    """

    def __init__(
        self, gain=0.5, edge=1e9, dtype="float32", shape=(2,), bound=1.0, then=None, at=3, line=None
    ):
        self.observation_space = Box(-1e9, 1e9, (3,), "float64")
        self.action_space = Box(-bound, bound, tuple(shape), dtype)
        self.gain, self.edge, self.then, self.at = gain, edge, then, at
        self.x, self.time, self.seed, self.taken = 0.0, 0, 0, 0
        self.socket = socket.socket(socket.AF_UNIX) if line else None
        if line:
            self.socket.connect(line)

    def observation(self):
        return [self.x, [float(self.time), float(self.seed)]]

    def reset(self, seed=None):
        print("reset, on the standard output")
        if self.then == "reset":
            raise RuntimeError("no start today")
        self.x, self.time, self.seed = (seed % 1000) / 1000, 0, seed
        return self.observation(), {}

    def step(self, action):
        print("a step, on the standard output")
        self.time += 1
        self.taken += 1
        if self.taken == self.at:
            answer = self.fail()
            if answer is not None:
                return answer
        first, second = list(action)[:2]
        self.x = self.gain * self.x + first - 2 * second
        reward = self.x - first * second
        return self.observation(), reward, self.x > self.edge, False, {}

    def fail(self):
        if self.then == "raise":
            self.deeper()
        if self.then == "hang":
            if self.socket:
                self.socket.sendall(b"h")
            threading.Event().wait()
        if self.then == "hold":
            # C code that keeps the interpreter's lock, and a child that keeps the line.
            fds = [self.socket.fileno()] if self.socket else []
            subprocess.Popen(["sleep", "600"], pass_fds=fds)
            if self.socket:
                self.socket.sendall(b"h")
            ctypes.PyDLL(None).sleep(600)
        if self.then == "exit":
            print("leaving", file=sys.stderr)
            sys.exit(3)
        if self.then == "crash":
            os.abort()
        if self.then == "orphan":
            if os.fork() == 0:
                threading.Event().wait()
            os.abort()
        if self.then == "garble":
            pipe = sys.modules["__main__"].ANSWERS
            pipe.write(struct.pack("<I", 1 << 31))
            pipe.flush()
            threading.Event().wait()
        if self.then == "longer":
            # An answer to a step (status, three numbers, reward, ends) and a byte.
            pipe = sys.modules["__main__"].ANSWERS
            body = struct.pack("<B4dBB", 0, 1.0, 2.0, 3.0, 4.0, 0, 0)
            pipe.write(struct.pack("<I", len(body)) + body)
            pipe.flush()
            threading.Event().wait()
        if self.then == "old":
            return self.observation(), 0.0, False, {}
        if self.then == "arrays":
            return self.observation(), [self.x], [False], [[False]], {}
        if self.then == "nothing":
            return self.observation(), None, False, False, {}
        if self.then == "words":
            return "a text", 0.0, False, False, {}
        if self.then == "unended":
            return self.observation(), 0.0, None, False, {}
        if self.then == "infinite":
            return [1.0, [float("inf"), 0.0]], 0.0, False, False, {}
        if self.then == "short":
            return [1.0], 0.0, False, False, {}
        if self.then == "shout":
            sys.stderr.write("words " * 100_000)
        return None

    def deeper(self):
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise ValueError("the joint is out of its socket") from cause

    def close(self):
        if self.socket:
            self.socket.sendall(b"c")


class Heavy(Line):
    """One of which there may be `most` at a time."""

    alive = 0

    def __init__(self, most=1, **kwargs):
        super().__init__(**kwargs)
        if Heavy.alive >= most:
            raise RuntimeError("the port is in use")
        Heavy.alive += 1

    def close(self):
        Heavy.alive -= 1


class Odd(gymnasium.Env):
    """Spaces that are refused."""

    def __init__(self, what):
        self.observation_space = Discrete(7) if what == "observation" else Box(-1, 1, (2,))
        self.action_space = {
            "discrete": Discrete(5),
            "whole": Box(-1, 1, (2,), "int32"),
            "endless": Box(-1.0, float("inf"), (2,)),
            "empty": Box(-1.0, 1.0, (0,)),
            "huge": Box(-1.0, 1.0, (1 << 22,)),
        }.get(what, Box(-1.0, 1.0, (2,)))


gymnasium.register("Line-v0", Line, max_episode_steps=8)
gymnasium.register("Endless-v0", Line)
gymnasium.register("Heavy-v0", Heavy, max_episode_steps=8)
gymnasium.register("Odd-v0", Odd, max_episode_steps=8)
