"""``Scheduler``: several ways to make a model smaller, one after the other or in one training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inc_core.errors import ConfigError
from inc_core.facade.distillation import Distillation
from inc_core.facade.float_training import train_float
from inc_core.facade.hooks import TrainingHooks
from inc_core.facade.parts import Parts, TrainingParts
from inc_core.facade.pruning import Pruning
from inc_core.facade.quantization import Quantization
from inc_core.plugin import Plugins
from inc_core.trained_model import TrainedModel
from inc_core.tuned_model import TunedModel

__all__ = ["Combination", "Scheduler"]

Component = Pruning | Distillation | Quantization

# What a combination or a scheduler hands on where a component has none of its own.
_SHARED = (
    "train_dataloader",
    "eval_dataloader",
    "metric",
    "postprocess",
    "eval_func",
    "train_func",
)


class Combination(TrainingHooks, TrainingParts):
    """Components that share one training; made by ``Scheduler.combine``.

    The training function calls the hooks of this object. What is not set here is taken from the
    components, in their order. With a ``Quantization`` among them, whose approach must be
    ``quant_aware_training``, the result is quantized; else it is a float model.
    """

    _plugins: Plugins | None = None

    def __init__(self, components: Sequence[Component]) -> None:
        super().__init__()
        _refuse_bad_mix(components)
        self._components = tuple(components)

    def fit(self) -> TunedModel | TrainedModel:
        """Train once with everybody, and return the result; never ``None``.

        Raises:
            IncError: As the components do.
        """
        quantizers = [c for c in self._components if isinstance(c, Quantization)]
        others = [c for c in self._components if not isinstance(c, Quantization)]
        if quantizers:
            return quantizers[0]._fit_with(self._parts_for(quantizers[0]), self, others)
        parts = TrainingParts()
        for name in ("model", *_SHARED):
            setattr(parts, name, self._shared(name))
        self._plugins = others[0]._plugins
        configs = [c._train_config() for c in others]
        train = next((config for config in configs if config is not None), None)
        return train_float(self, others[0].config, parts, others, train)

    def __call__(self) -> TunedModel | TrainedModel:
        """Call ``fit()``."""
        return self.fit()

    def _parts_for(self, quantizer: Quantization) -> Parts:
        parts = Parts()
        for name in Parts._settable():
            setattr(parts, name, getattr(quantizer, name))
        for name in ("model", *_SHARED):
            value = self._shared(name)
            if value is not None:
                setattr(parts, name, value)
        return parts

    def _shared(self, name: str) -> Any:
        """Return a part: as set here, else of the first component that has it."""
        found = (getattr(holder, name) for holder in (self, *self._components))
        return next((value for value in found if value is not None), None)


class Scheduler(TrainingParts):
    """Runs components one after the other, each on the model that the one before returned.

    Example::

        scheduler = Scheduler()
        scheduler.model = model
        combined = scheduler.combine(prune, quantizer)  # one training for both
        combined.train_func = train                     # calls combined.on_epoch_begin(epoch), ...
        scheduler.append(combined)
        q_model = scheduler.fit()

    Model, data, metric and functions that are set here are those of components without their own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._queue: list[Component | Combination] = []
        self._combined: list[Combination] = []

    def append(self, *components: Component | Combination) -> None:
        """Put components at the end of the queue.

        Raises:
            ConfigError: If something is none.
        """
        for component in components:
            if not isinstance(component, Component | Combination):
                raise ConfigError(
                    "a scheduler runs Pruning, Distillation, Quantization and combinations of them, "
                    f"received {type(component).__name__}"
                )
            self._queue.append(component)

    def combine(self, *components: Component) -> Combination:
        """Return an object for one training of several components; ``append`` it to have it run.

        Raises:
            ConfigError: If they cannot share a training.
        """
        combination = Combination(components)
        self._combined.append(combination)
        return combination

    def fit(self) -> TunedModel | TrainedModel:
        """Run the queue and return what the last component did; never ``None``.

        Raises:
            ConfigError: If nothing is in it, a combination was forgotten, or a quantization is not
                the last.
            IncError: As the components do.
        """
        self._check()
        model, result = self.model, None
        for component in self._queue:
            self._hand_on(component, model)
            result = component.fit()
            model = result.model
        assert result is not None
        return result

    def __call__(self) -> TunedModel | TrainedModel:
        """Call ``fit()``."""
        return self.fit()

    def _hand_on(self, component: Component | Combination, model: Any) -> None:
        if model is not None:
            component.model = model
        for name in _SHARED:
            if getattr(component, name) is None:
                setattr(component, name, getattr(self, name))

    def _check(self) -> None:
        if not self._queue:
            raise ConfigError("the scheduler has nothing to run: append() components")
        if any(combination not in self._queue for combination in self._combined):
            raise ConfigError("combine() made a combination that was not appended: append() it")
        for component in self._queue[:-1]:
            parts = component._components if isinstance(component, Combination) else (component,)
            if any(isinstance(part, Quantization) for part in parts):
                raise ConfigError("a quantized model cannot be trained further: append it last")


def _refuse_bad_mix(components: Sequence[Component]) -> None:
    if not components:
        raise ConfigError("combine() needs components")
    for component in components:
        if not isinstance(component, Component):
            raise ConfigError(
                "Pruning, Distillation and Quantization can be combined, received "
                f"{type(component).__name__}"
            )
    kinds = [type(component) for component in components]
    if len(set(kinds)) < len(kinds):
        raise ConfigError(
            "combine() takes one component of each kind; several pruners are entries of one "
            "pruning section"
        )
    for component in components:
        if isinstance(component, Quantization):
            approach = component.config.quantization.approach
            if approach != "qat":
                raise ConfigError(
                    "to share a training a Quantization needs the approach quant_aware_training, it "
                    f"has {approach!r}. append() it after the others instead."
                )
