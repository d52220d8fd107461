"""Accuracy-driven model compression, framework by plugin.

``from inc_core import Quantization, common, load`` is what scripts need; ``hookimpl`` is what
plugins need. Each name is imported on first use, so that ``import inc_core`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inc_core import common
    from inc_core.facade.distillation import Distillation
    from inc_core.facade.pruning import Pruning
    from inc_core.facade.quantization import Quantization
    from inc_core.facade.scheduler import Scheduler
    from inc_core.hookspecs._markers import hookimpl
    from inc_core.tuned_model import load

__all__ = [
    "Distillation",
    "Pruning",
    "Quantization",
    "Scheduler",
    "__version__",
    "common",
    "hookimpl",
    "load",
]

__version__ = "0.1.0"

# where each name lives; a module itself where there is no colon
_HOMES = {
    "Distillation": "inc_core.facade.distillation:Distillation",
    "Pruning": "inc_core.facade.pruning:Pruning",
    "Quantization": "inc_core.facade.quantization:Quantization",
    "Scheduler": "inc_core.facade.scheduler:Scheduler",
    "common": "inc_core.common",
    "hookimpl": "inc_core.hookspecs._markers:hookimpl",
    "load": "inc_core.tuned_model:load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inc_core' has no attribute {name!r}")
    module_name, _, attribute = _HOMES[name].partition(":")
    module = importlib.import_module(module_name)
    value = getattr(module, attribute) if attribute else module
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
