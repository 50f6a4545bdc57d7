"""The command line: ``hstep ...``, or ``python -m hstep ...``."""

import pathlib
import sys
import sysconfig

from . import _hstep


def main() -> int:
    """Runs the command of this process's arguments; its exit code."""
    arguments = ["hstep", *sys.argv[1:]]
    script = pathlib.Path(sysconfig.get_path("scripts")) / "hstep"
    # A sweep starts processes of its own: not of the interpreter, but of the command.
    if "sweep" in arguments[1:3] and "--binary" not in arguments and script.is_file():
        arguments += ["--binary", str(script)]
    return _hstep.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
