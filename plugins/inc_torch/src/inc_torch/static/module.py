"""``StaticModule``: a lowered graph as the module that users get."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import fx, nn

from inc_torch.static.packed import pack
from inc_torch.static.region import with_regions

__all__ = ["StaticModule"]


class StaticModule(nn.Module):
    """Runs a lowered graph in the form that suits the caller.

    Eager calls get the packed form with its chains of convolutions in TorchScript, ``torch.compile`` the
    packed form alone. Both are no part of the module's state: ``state_dict``, ``copy.deepcopy`` and
    pickling see ``lowered`` only, with its plain integer weights. ``torch.export`` gets ``lowered``
    itself, so that an exported program consists of torch's own ops and plain tensors.

    After integer weights were changed in place, call ``repack``; ``load_state_dict`` does so.

    Args:
        lowered: What ``inc_torch.static.lower`` returns.
    """

    def __new__(cls, lowered: fx.GraphModule) -> StaticModule:
        """Make a class per module, as ``GraphModule`` does: tracing reads the parameters of its forward."""

        def forward(self: StaticModule, *args: Any, **kwargs: Any) -> Any:
            return self._run(*args, **kwargs)

        forward.__signature__ = inspect.signature(type(lowered).forward)  # type: ignore[attr-defined]
        own = type(cls.__name__, (cls,), {"forward": forward, "__new__": _new_object})
        return super().__new__(own)

    def __init__(self, lowered: fx.GraphModule) -> None:
        super().__init__()
        self.lowered = lowered.eval()
        self.training = False
        self.repack()
        self.register_load_state_dict_post_hook(_repack)

    def repack(self) -> None:
        """Make the fast forms anew from the plain integer weights."""
        # past nn.Module, which would take them for submodules with a state of their own
        object.__setattr__(self, "_eager", pack(with_regions(self.lowered)))
        object.__setattr__(self, "_compiled", None)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_exporting():
            return self.lowered(*args, **kwargs)
        if torch.compiler.is_compiling():
            assert self._is_ready_for_compilers()
            return self._compiled(*args, **kwargs)
        return self._eager(*args, **kwargs)

    def _is_ready_for_compilers(self) -> bool:
        """Make the packed form on the first compilation; a tracer runs this and keeps the answer."""
        if self._compiled is None:
            object.__setattr__(self, "_compiled", pack(self.lowered))
        return True

    # what torch._dynamo.assume_constant_result does; to import that takes 1.3 s, which only compilers need
    _is_ready_for_compilers._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name not in _FORMS}
        return StaticModule, (self.lowered,), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.repack()


_FORMS = ("_eager", "_compiled")


def _new_object(cls: type, *_: object) -> Any:
    return object.__new__(cls)


def _repack(module: nn.Module, _: object) -> None:
    assert isinstance(module, StaticModule)
    module.repack()
