"""hstep: differentiable, model-based reinforcement learning.

Every algorithm is a use of one objective, ``J_H = E[sum_{t<H} gamma^t r_t + gamma^H V(s_H)]``::

    import hstep

    run = hstep.train("mbpo", "pendulum", steps=3000)
    run.metrics["eval_return"]
    action = run.policy(obs)
"""

import os as _os

# The matrix products are split by hstep itself; the linear algebra below it must not start threads in each of them.
_os.environ.setdefault("RAYON_NUM_THREADS", "1")

from . import _hstep, autodiff, bench, errors, plan  # noqa: E402
from ._hstep import __version__  # noqa: E402
from .errors import (  # noqa: E402
    CheckpointError,
    CompositionError,
    ConfigError,
    DivergedError,
    EnvError,
    FileError,
    HstepError,
    Interrupted,
    NonFiniteError,
    ShapeError,
)
from .plan import Plan, Simulator  # noqa: E402
from .run import Evaluation, Model, Objective, Rollout, Run, Transition, config, objective, resume, train  # noqa: E402
from .studies import Comparison, check, compare, sweep  # noqa: E402

_os.register_at_fork(after_in_child=_hstep.after_fork)

__all__ = [
    "CheckpointError",
    "Comparison",
    "CompositionError",
    "ConfigError",
    "DivergedError",
    "EnvError",
    "Evaluation",
    "FileError",
    "HstepError",
    "Interrupted",
    "Model",
    "NonFiniteError",
    "Objective",
    "Plan",
    "Rollout",
    "Run",
    "ShapeError",
    "Simulator",
    "Transition",
    "__version__",
    "autodiff",
    "bench",
    "check",
    "compare",
    "config",
    "errors",
    "objective",
    "plan",
    "resume",
    "sweep",
    "train",
]
