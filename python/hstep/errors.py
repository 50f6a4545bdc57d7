"""What can go wrong. Each text says what was expected, what came, and how to mend it."""

from __future__ import annotations


class HstepError(Exception):
    """Anything that hstep raises by itself."""


class ConfigError(HstepError, ValueError):
    """A setting is wrong, or does not fit the others."""


class CompositionError(ConfigError):
    """The parts of an algorithm do not fit together."""


class ShapeError(HstepError, ValueError):
    """An array has another shape or number type than expected."""


class EnvError(HstepError, RuntimeError):
    """An environment, or a function that stands for a part of one, gave something wrong."""


class CheckpointError(HstepError, RuntimeError):
    """A checkpoint or run folder is missing, damaged, or belongs to another run."""


class NonFiniteError(HstepError, ArithmeticError):
    """A number became NaN or infinite; the last checkpoint is untouched."""


class DivergedError(HstepError, ArithmeticError):
    """Learning ran away; the last checkpoint is untouched."""


class FileError(HstepError, OSError):
    """A file could not be read or written."""


class Interrupted(HstepError, KeyboardInterrupt):
    """Ctrl-C: everything is saved, and the text says how to go on."""
