"""Serves Gymnasium environments over two pipes: one frame in, one frame out.

A frame is its length (u32) and that many bytes; all numbers are little-endian. A request is an
operation (u8), a slot (u32) and what the operation needs; an answer is 0 and what was asked for, or
1 and a text saying what failed. `frame.rs` is the other side.
"""

import sys

# The current folder comes last, and only for a module of the user's (`Server.answer`): nothing of what
# this file and Gymnasium import is taken from there.
if sys.path[:1] == [""]:
    del sys.path[0]

import array
import ast
import faulthandler
import fcntl
import inspect
import json
import math
import os
import platform
import select
import signal
import struct
import threading
import traceback

MAGIC, VERSION = b"HSTEPGYM", 2
MAKE, RESET, STEP, CLOSE, QUIT, TERMINATED, REWARD, RENDER = range(8)
# The functions of a batch, and what they return a row.
FUNCTIONS = {TERMINATED: ("terminated", "bool"), REWARD: ("reward", "float")}
MAX_FRAME = 1 << 24
MAX_TEXT = 1 << 20


class Refused(Exception):
    """A problem whose message says everything: shown without a traceback."""


def leave(*pipes):
    """Lets go of the pipes in a forked child, which else would hide the end of its parent."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for pipe in pipes:
        os.dup2(nothing, pipe, inheritable=False)
    os.close(nothing)


def own_pipes():
    """The two pipes, out of reach of what the environment prints and reads."""
    requests, answers = os.dup(0), os.dup(1)
    os.register_at_fork(after_in_child=lambda: leave(requests, answers))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def end_with_parent(life):
    """Has the kernel kill this group of processes when the other end of the pipe `life` is gone, also
    amid code that holds the interpreter's lock; `False` where there is no such kernel."""
    os.set_inheritable(life, False)
    try:
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, OSError):
        return False
    # It may have gone before.
    if hang_up(life).poll(0):
        os.killpg(0, signal.SIGKILL)
    return True


def hang_up(pipe):
    """Polls for the end of the other end alone."""
    poll = select.poll()
    poll.register(pipe, 0)
    return poll


def watch_parent(life):
    """The same by a thread, which Python code alone lets run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    hang_up(life).poll()
    os.killpg(0, signal.SIGKILL)


def value(text):
    """A JSON or Python literal, or the text itself."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except Exception:
            pass
    return text


def numbers(x):
    """All numbers of an array or of nested sequences, row after row."""
    if hasattr(x, "ravel"):
        return [float(v) for v in x.ravel().tolist()]
    if isinstance(x, (list, tuple, array.array)):
        return [v for part in x for v in numbers(part)]
    return [float(x)]


def short(thing):
    text = repr(thing)
    return text if len(text) <= 200 else text[:200] + "..."


def plain(what, x, expected="numbers"):
    """The numbers of what an environment returned, or a refusal that says what that was."""
    try:
        if isinstance(x, (str, bytes)):
            raise TypeError
        return numbers(x)
    except (TypeError, ValueError, OverflowError):
        raise Refused(f"{what} {short(x)}; expected {expected}") from None


def single(what, x):
    """One number, also as an array of it."""
    found = plain(what, x, "a number")
    if len(found) != 1:
        raise Refused(f"{what} {short(x)}; expected a number")
    return found[0]


def versions(env):
    """What simulates an environment: Python, the packages that matter, and its own."""
    found = {"python": platform.python_version()}
    for name in ("gymnasium", "numpy", "mujoco"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    kind = type(getattr(env, "unwrapped", env))
    try:
        from importlib import metadata

        for name in metadata.packages_distributions().get(kind.__module__.partition(".")[0], ()):
            found[name] = metadata.version(name)
    except Exception:
        pass
    found["environment"] = f"{kind.__module__}:{kind.__qualname__}"
    return {name: text[:200] for name, text in found.items()}


def beside(places, name):
    """The first function `name(obs, action, next_obs)` of some places, if any."""
    for place in places:
        try:
            found = getattr(place, name, None)
            if callable(found):
                inspect.signature(found).bind(None, None, None)
                return found
        except Exception:
            # Something else of that name.
            pass
    return None


class Functions:
    """The functions of a batch beside an environment; they outlive it."""

    def __init__(self, env, module):
        places = [getattr(env, "unwrapped", env), sys.modules.get(module)]
        found = {kind: beside(places, name) for kind, (name, _) in FUNCTIONS.items()}
        self.found = {kind: call for kind, call in found.items() if call is not None}
        self.spaces = env.observation_space, env.action_space, env.observation_space

    def names(self):
        return [FUNCTIONS[kind][0] for kind in self.found]

    def batch(self, n, body):
        """Observations, actions and next observations: arrays, lists of rows without NumPy."""
        numpy, at = sys.modules.get("numpy"), 0
        for space in self.spaces:
            width = math.prod(space.shape)
            size = 8 * n * width
            if numpy is not None:
                kind = str(space.dtype)
                kind = kind if kind in ("float16", "float32", "float64") else "float64"
                flat = numpy.frombuffer(body, "<f8", n * width, at)
                yield flat.reshape((n, *space.shape)).astype(kind)
            else:
                flat = struct.unpack_from(f"<{n * width}d", body, at)
                yield [list(flat[i * width : (i + 1) * width]) for i in range(n)]
            at += size

    def call(self, operation, rest):
        (n,) = struct.unpack_from("<I", rest)
        result = self.found[operation](*self.batch(n, rest[4:]))
        kind = FUNCTIONS[operation][1]
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            try:
                result = numpy.asarray(result)
            except Exception:
                raise Refused(f"it returned {short(result)}; expected {n} {kind}s") from None
            found, shape = result.dtype, result.shape
            fits = found.kind == "b" if kind == "bool" else found.kind in "fiu"
            result = result.tolist()
        else:
            shape = (len(result),) if isinstance(result, (list, tuple)) else ()
            types = {type(x) for x in result} if shape else {type(result)}
            found = "/".join(sorted(x.__name__ for x in types))
            fits = types <= ({bool} if kind == "bool" else {int, float})
        if shape != (n,) or not fits:
            raise Refused(
                f"it returned {found} of shape {shape}; expected {kind} of shape ({n},): one for each "
                "row of the batch"
            )
        if kind == "bool":
            return bytes(result)
        wrong = next((i for i, x in enumerate(result) if not math.isfinite(x)), None)
        if wrong is not None:
            raise Refused(f"it returned {result[wrong]} in row {wrong}; expected finite numbers")
        return struct.pack(f"<{n}d", *result)


class Slot:
    """One environment, its spaces checked."""

    def __init__(self, gymnasium, name, arguments):
        self.env = gymnasium.make(name, **{key: value(text) for key, text in arguments})
        self.box = gymnasium.spaces.Box
        self.obs_size = self.size("observation", self.env.observation_space)
        self.space = self.env.action_space
        self.size("action", self.space)
        if str(self.space.dtype) not in ("float16", "float32", "float64"):
            raise Refused(
                f"the action space is {short(self.space)}, of {self.space.dtype}; expected a Box "
                "of floats"
            )
        self.functions = Functions(self.env, name.rpartition(":")[0])

    def size(self, what, space):
        if not isinstance(space, self.box):
            raise Refused(
                f"the {what} space is {short(space)}; expected a Box (gymnasium.wrappers can "
                "flatten a Dict or a Tuple of boxes; discrete spaces have no gradient)"
            )
        size = math.prod(space.shape)
        if size == 0 or 32 * size > MAX_FRAME:
            raise Refused(f"the {what} space is {short(space)}, with {size} numbers")
        return size

    def describe(self):
        spec = getattr(self.env, "spec", None)
        limit = getattr(spec, "max_episode_steps", None) or 0
        low, high = numbers(self.space.low), numbers(self.space.high)
        head = struct.pack("<IIQ", self.obs_size, len(low), limit)
        bounds = struct.pack(f"<{2 * len(low)}d", *low, *high)
        told = {"versions": versions(self.env), "functions": self.functions.names()}
        told["renders"] = getattr(self.env, "render_mode", None) == "rgb_array"
        return head + bounds + json.dumps(told).encode()

    def observation(self, by, obs):
        obs = plain(f"{by} returned the observation", obs)
        if len(obs) != self.obs_size:
            raise Refused(f"an observation of {len(obs)} numbers; its space has {self.obs_size}")
        return struct.pack(f"<{len(obs)}d", *obs)

    def reset(self, seed):
        result = self.env.reset(seed=seed)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise Refused(f"reset returned {short(result)}; expected (observation, info)")
        return self.observation("reset", result[0])

    def step(self, action):
        result = self.env.step(self.typed(action))
        if not (isinstance(result, tuple) and len(result) == 5):
            raise Refused(
                f"step returned {short(result)}; expected "
                "(observation, reward, terminated, truncated, info)"
            )
        obs, reward, terminated, truncated, _ = result
        reward = single("step returned the reward", reward)
        terminated = bool(single("step returned `terminated` as", terminated))
        truncated = bool(single("step returned `truncated` as", truncated))
        ends = terminated | truncated << 1
        return self.observation("step", obs) + struct.pack("<dB", reward, ends)

    def picture(self):
        image = self.env.render()
        shape = getattr(image, "shape", ())
        if len(shape) != 3 or shape[2] != 3 or str(image.dtype) != "uint8":
            raise Refused(f"render returned {short(image)}; expected an array [height, width, 3] of uint8")
        if 16 + math.prod(shape) > MAX_FRAME:
            raise Refused(f"render returned a picture of {shape[1]} by {shape[0]}, too large for a frame")
        return struct.pack("<II", shape[1], shape[0]) + image.tobytes()

    def typed(self, action):
        """The action in the number type and shape of its space."""
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            return numpy.array(action, dtype=self.space.dtype).reshape(self.space.shape)
        return array.array("f" if str(self.space.dtype) == "float32" else "d", action)

    def close(self):
        self.env.close()


class Server:
    def __init__(self):
        self.slots = {}
        self.functions = {}

    def answer(self, operation, slot, rest):
        if operation == MAKE:
            import gymnasium

            name, arguments = json.loads(rest)
            if ":" in name and "" not in sys.path:
                sys.path.append("")
            self.slots[slot] = made = Slot(gymnasium, name, arguments)
            self.functions[slot] = made.functions
            return made.describe()
        if operation in FUNCTIONS:
            return self.functions[slot].call(operation, rest)
        if operation == CLOSE:
            self.slots.pop(slot).close()
            return b""
        if operation == RENDER:
            return self.slots[slot].picture()
        if operation == RESET:
            return self.slots[slot].reset(*struct.unpack("<Q", rest))
        return self.slots[slot].step(struct.unpack(f"<{len(rest) // 8}d", rest))

    def close(self):
        for slot in self.slots.values():
            slot.close()


def failure(error):
    """The traceback from the environment's own code on."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_globals is globals():
        place = place.tb_next
    return "".join(traceback.format_exception(type(error), error, place)).rstrip()


def serve(server, requests, answers):
    answers.write(MAGIC + struct.pack("<I", VERSION))
    answers.flush()
    while True:
        head = requests.read(4)
        body = requests.read(*struct.unpack("<I", head)) if len(head) == 4 else b""
        if len(body) < 5 or body[0] == QUIT:
            return
        operation, slot = struct.unpack_from("<BI", body)
        try:
            answer = b"\0" + server.answer(operation, slot, body[5:])
        except Refused as error:
            answer = b"\1" + str(error).encode("utf-8", "replace")
        except Exception as error:
            answer = b"\1" + failure(error).encode("utf-8", "replace")[-MAX_TEXT:]
        answers.write(struct.pack("<I", len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    # Where Python was is told before a crash, and before SIGTERM ends it.
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, all_threads=False, chain=True)
    REQUESTS, ANSWERS = own_pipes()
    sys.stdout.reconfigure(line_buffering=True)
    LIFE = int(sys.argv[1])
    if not end_with_parent(LIFE):
        threading.Thread(target=watch_parent, args=(LIFE,), daemon=True).start()
    SERVER = Server()
    serve(SERVER, REQUESTS, ANSWERS)
    SERVER.close()
