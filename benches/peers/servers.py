"""The peers' programs as processes that stay: starting and compiling takes them seconds."""

import contextlib
import subprocess
import tempfile


class Failed(Exception):
    """Why a program gave no RESULT line."""


def last(text):
    """The end of what a program had to say."""
    return "\n".join(text.splitlines()[-5:])


class Server:
    """One process that answers `WORKLOAD SECONDS` with a RESULT line, and waits in between."""

    def __init__(self, command, environment):
        # A file, for nobody reads a pipe while the process runs.
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)

    def ask(self, workload, seconds):
        # A process that has died ends its output, too: that is said below.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{workload} {seconds}\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                return line
            if line.startswith("ERROR "):
                raise Failed(line.removeprefix("ERROR ").strip())
        code = self.process.wait()
        self.errors.seek(0)
        raise Failed(f"the process ended with status {code}\n{last(self.errors.read())}".strip())

    def close(self):
        """The end of input ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Servers:
    """Those that were asked already, by a key; all end with the `with` block."""

    def __init__(self):
        self.running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.running.values():
            server.close()

    def get(self, key, command, environment):
        if key not in self.running:
            self.running[key] = Server(command, environment)
        return self.running[key]
