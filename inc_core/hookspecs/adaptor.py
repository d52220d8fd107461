"""Adaptors: everything that knows one framework. The contract, its abilities, its hooks."""

from __future__ import annotations

import abc
import hashlib
import tempfile
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from inc_core.hookspecs._markers import hookspec
from inc_core.quant.calibrator import Calibration
from inc_core.quant.observers import Observer
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpCapability, OpConfig, OpKey, TensorKey

__all__ = [
    "Adaptor",
    "AdaptorContext",
    "AdaptorHooks",
    "ChannelScaling",
    "ExampleTracing",
    "Executed",
    "Exports",
    "FloatRewrites",
    "Guess",
    "IntegerWeights",
    "LatencyTable",
    "OpTimer",
    "Presents",
    "RestoresInto",
    "Sensitivity",
]


@dataclass(frozen=True)
class AdaptorContext:
    """What an adaptor is told about a run; its constructor gets nothing else.

    Attributes:
        framework: The framework name under which the adaptor was asked for.
        approach: ``"static"``, ``"dynamic"``, ``"auto"``, ``"weight_only"`` or ``"qat"``.
        device: ``"cpu"`` or ``"gpu"``.
        inputs: Names of the model's inputs, where the user gave them.
        outputs: Names of the model's outputs, where the user gave them.
        recipes: Switches of ``quantization.recipes`` in the YAML, by name.
        threads: Threads that one inference may use; 0 leaves it to the framework.
    """

    framework: str
    approach: str = "static"
    device: str = "cpu"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    recipes: Mapping[str, bool] = field(default_factory=dict)
    threads: int = 0


class Adaptor(abc.ABC):
    """One framework behind seven methods. Native models are opaque to the core.

    A subclass has ``schema`` only if it takes options of its own. ``inc_core.testing.AdaptorSuite``
    checks every sentence of this contract; ``inc_core.testing.toy`` is a complete small adaptor.

    Attributes:
        devices: The values of ``device`` in a configuration that it knows; others are refused.
        switches: Names under ``quantization.recipes`` that it reads beside those that everybody
            knows; the user is told that others have no effect.
    """

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    switches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, context: AdaptorContext) -> None:
        self.context = context

    @abc.abstractmethod
    def load(self, source: Any) -> Any:
        """Return a float model ready for inference from a path or a native object.

        Raises:
            UnsupportedModelError: If the source is missing, corrupt or of an unknown kind.
        """

    @abc.abstractmethod
    def capabilities(self, model: Any) -> Sequence[OpCapability]:
        """Return what can be done with each op, in execution order; names are unique and stable."""

    @abc.abstractmethod
    def predict(self, model: Any, inputs: Any) -> Any:
        """Run a float or quantized model.

        Args:
            model: A model of this adaptor.
            inputs: One batch: an array, a tuple or list of arrays in the order of the model's
                inputs, or a mapping from input name to array.

        Returns:
            One array, or a tuple of arrays in the order of the model's outputs.

        Raises:
            DataError: If names, shapes or dtypes do not fit the model's inputs.
        """

    @abc.abstractmethod
    def observe(
        self, model: Any, batches: Iterable[Any], observers: Mapping[TensorKey, Observer]
    ) -> None:
        """Run ``batches`` of inputs and feed each observer with its tensor, batch by batch.

        No more memory than a few batches may be held. Call ``observer.update(array)`` with the
        whole tensor, or ``observer.update_reduced(...)``, with part of the values where
        ``observer.needs_values``.
        Float and quantized models are accepted.
        """

    @abc.abstractmethod
    def quantize(self, model: Any, recipe: Recipe, calibration: Calibration) -> Any:
        """Return a new native model that runs ``recipe``; ``model`` is not changed.

        Ranges come from ``calibration.qparams(key, spec)``. An all-float recipe gives the float
        outputs exactly.

        Raises:
            QuantizationError: If the recipe cannot be built.
        """

    @abc.abstractmethod
    def save(self, model: Any, directory: Path) -> None:
        """Write the native artefact into an existing directory."""

    @abc.abstractmethod
    def restore(self, directory: Path) -> Any:
        """Return the model that ``save`` wrote: the exact inverse, same bits out."""

    def digest(self, model: Any) -> str:
        """Return a hex digest of graph and weights: equal only for equal models.

        The default saves the model and hashes the files; override it where that is slow.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save(model, Path(folder))
            digest = hashlib.sha256()
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    digest.update(path.relative_to(folder).as_posix().encode())
                    digest.update(path.read_bytes())
        return digest.hexdigest()

    def versions(self) -> Mapping[str, str]:
        """Return the versions of the framework and of what else decides the result."""
        return {}


@runtime_checkable
class ExampleTracing(Protocol):
    """Ability: the ops of a float model are known only after one batch went through it.

    The core calls ``trace`` once, between ``load`` and ``capabilities``, with the first batch of the
    calibration or else the evaluation data. Without data it is not called, and ``capabilities``
    offers what can be known without.
    """

    def trace(self, model: Any, inputs: Any) -> Any:
        """Return the float model with its ops known; ``model`` is not changed.

        Raises:
            DataError: If the inputs do not fit the model.
        """


@runtime_checkable
class RestoresInto(Protocol):
    """Ability: restore a model whose code is not in its files, given the float model."""

    def restore_into(self, directory: Path, source: Any) -> Any:
        """Return what ``save`` wrote; ``source`` is what ``load`` would take, or names its maker.

        Raises:
            UnsupportedModelError: If the source is not the model that was saved.
        """


@runtime_checkable
class FloatRewrites(Protocol):
    """Ability: rewrite the float model before calibration, keeping its outputs.

    ``rewrites`` names the options of ``Recipe.options`` that change anything for this model, such
    as ``"cross_layer_equalization"``; ``rewrite`` applies the named ones and returns a new float
    model with the same op names. The core calibrates a rewritten model by itself.
    ``quantize`` is given the rewritten model. Options that need calibration (``"bias_correction"``)
    are named here too, left alone by ``rewrite`` and applied by ``quantize``.
    """

    def rewrites(self, model: Any) -> Sequence[str]:
        """Return the names of the options that apply to this model."""

    def rewrite(self, model: Any, options: Sequence[str]) -> Any:
        """Return a new float model with the same function; unknown options are left alone."""


@runtime_checkable
class ChannelScaling(Protocol):
    """Ability beside ``FloatRewrites``: rewrites only divide channels of tensors by factors.

    With it, a rewritten model needs no calibration of its own: its ranges are derived from those
    of the plain model.
    """

    def channel_factors(self, model: Any) -> Mapping[TensorKey, np.ndarray[Any, Any]]:
        """Return by what a rewritten model divides each channel, ``(C,)``, by tensor; else nothing."""


@runtime_checkable
class Executed(Protocol):
    """Ability: say which precision the runtime really used, for the ledger."""

    def executed(self, model: Any) -> Mapping[OpKey, str]:
        """Return for each op of ``capabilities`` a precision (``"int8"``, ``"fp32"``, ...).

        Where more than one kernel could have run it, `` by `` and the kernel's name follow.
        """


@runtime_checkable
class IntegerWeights(Protocol):
    """Ability: show the integer weights of a quantized model, for ``inc verify``."""

    def integer_weights(self, model: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return every stored integer weight by name."""


@runtime_checkable
class Presents(Protocol):
    """Ability: show scripts a model as the framework's own type, where native models are not.

    ``TunedModel.model`` and the argument of a user's ``eval_func`` are what ``present`` returns;
    without the ability they are the native model.
    """

    def present(self, model: Any) -> Any:
        """Return a float or quantized model as users of the framework know it; ``load`` takes it."""


@runtime_checkable
class Exports(Protocol):
    """Ability: write a model for other tools to run; ``save`` is for ``inc`` itself."""

    def export_formats(self) -> Mapping[str, str]:
        """Return what can be written: the name of a format, and a line that says what it is."""

    def export(self, model: Any, path: Path, format: str) -> None:
        """Write a float or quantized model; what is at ``path`` may be replaced.

        Args:
            model: As ``load``, ``quantize`` or ``restore`` gave it; not changed.
            path: Of the file, or of the directory, as the format has it.
            format: A key of ``export_formats``.

        Raises:
            UnsupportedModelError: If something of the model has no place in the format; the message
                names it.
            MissingFrameworkError: If the format needs a package that is not installed.
        """


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of single ops on this machine, and of converting tensors between them.

    Attributes:
        seconds: Of each op in each config that could be measured, conversions apart. What an op
            must convert in any case (a model input, the result for an op without quantized
            options) counts as its own time in its static configs.
        boundary: Seconds that the tensor from the first to the second op costs more if exactly one
            of the two runs a static config; pairs that cost nothing are left out.
    """

    seconds: Mapping[OpKey, Mapping[OpConfig, float]]
    boundary: Mapping[tuple[OpKey, OpKey], float] = field(default_factory=dict)

    def total(self, recipe: Recipe) -> float:
        """Return the predicted seconds of a recipe; ops that were not measured count nothing."""
        ops = sum(
            self.seconds[op][config]
            for op, config in recipe.ops.items()
            if config in self.seconds.get(op, {})
        )
        modes = {op: config.mode for op, config in recipe.ops.items()}
        return ops + sum(
            cost
            for (first, second), cost in self.boundary.items()
            if (modes.get(first) == "static") != (modes.get(second) == "static")
        )


@runtime_checkable
class OpTimer(Protocol):
    """Ability: measure the seconds of single ops in each of their configs, on this machine.

    ``time_ops`` is called once per search, with one batch of inputs for their shapes. It bounds its
    own time and leaves out what it did not get to. ``known`` holds what was measured before on this
    machine with these versions, under keys of the adaptor's own choice; what is measured now is
    added to it, and the caller keeps it.
    """

    def time_ops(
        self,
        model: Any,
        capabilities: Sequence[OpCapability],
        sample_inputs: Any,
        known: MutableMapping[str, Sequence[float]],
    ) -> LatencyTable:
        """Return the measured seconds of the ops of ``capabilities`` in their configs."""


@runtime_checkable
class Sensitivity(Protocol):
    """Ability: estimate for all ops at once what quantizing each alone does to the outputs.

    A search asks it in place of one probe for each op, of which each runs a model of its own.
    """

    def sensitivity(
        self, model: Any, wanted: Mapping[OpKey, Sequence[OpConfig]], batches: Iterable[Any]
    ) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return the estimated divergence of the outputs, as ``tuning.divergence`` measures it.

        Args:
            model: The float model.
            wanted: The configs that are asked for, by op.
            batches: A few batches of inputs.

        Returns:
            A finite number for everything that is wanted; ``None`` if this model cannot be swept.
        """


@dataclass(frozen=True)
class Guess:
    """One plugin's opinion that a model is its framework's.

    Attributes:
        framework: A framework name that the plugin offers.
        confidence: From 0 (no idea) to 1 (certain).
        reason: In words for the user, such as ``"the suffix is .onnx"``.
    """

    framework: str
    confidence: float
    reason: str


class AdaptorHooks:
    """Hooks of a plugin that brings a framework."""

    @hookspec
    def inc_adaptors(self) -> Mapping[str, type[Adaptor] | str]:
        """Offer adaptors by framework name.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_adaptors():
                return {"toy": "inc_toy.adaptor:ToyAdaptor"}
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def inc_guess_framework(self, source: Any) -> Guess | None:
        """Say whether a model is of this plugin's framework, without importing the framework.

        Called with what the user gave as the model, when no framework is named. Look at the file's
        suffix and content, or at ``sys.modules``. Every plugin is asked; the one highest
        confidence wins; a tie is an error that prints each reason. Default: ``None``, no opinion.
        An exception is taken for no opinion, and printed as the reason. Example::

            @hookimpl
            def inc_guess_framework(source):
                if str(source).endswith(".toy"):
                    return Guess("toy", 0.9, "the suffix is .toy")
                return None
        """
        raise AssertionError("a specification is never called")
