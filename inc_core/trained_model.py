"""``TrainedModel``: a float model that a training has changed, with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inc_core.hookspecs.adaptor import Adaptor, ExampleTracing
from inc_core.pruning.report import SparsityReport
from inc_core.quant.calibrator import Calibration
from inc_core.quant.space import TuningSpace
from inc_core.tuned_model import TunedModel

if TYPE_CHECKING:
    import numpy as np

    from inc_core.plugin import Plugins

__all__ = ["TrainedModel"]


@dataclass(frozen=True)
class TrainedModel:
    """What ``Pruning`` and ``Distillation`` give.

    Attributes:
        model: The trained native model, of the type that the user gave; can be trained or quantized
            further.
        adaptor: What runs it.
        baseline: Accuracy before the training; ``None`` if nothing was evaluated.
        accuracy: Accuracy after it.
        sparsity: How sparse the weights are; ``None`` if nothing was pruned.
        masks: What is kept of each pruned weight, bool.
        complete: Whether every pruner came to the end of its schedule.
        sample: Some inputs, for tracing and verification; ``None`` if none were at hand.
    """

    model: Any
    adaptor: Adaptor
    baseline: float | None = None
    accuracy: float | None = None
    sparsity: SparsityReport | None = None
    masks: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    complete: bool = True
    sample: Any = None
    plugins: Plugins | None = field(default=None, repr=False)

    def predict(self, inputs: Any) -> Any:
        """Run the model on one batch: arrays in, arrays out (see ``Adaptor.predict``)."""
        return self.adaptor.predict(self.adaptor.load(self.model), inputs)

    def report(self) -> str:
        """Return accuracy and sparsity as text."""
        lines = [
            "accuracy was not evaluated"
            if self.accuracy is None
            else f"accuracy {self.accuracy:.4f} (before the training: {self.baseline:.4f})"
        ]
        if self.sparsity is not None:
            lines.append(self.sparsity.render())
        if not self.complete:
            lines.append("the training ended before the target sparsity was reached")
        return "\n".join(lines)

    def save(self, directory: str | Path) -> Path:
        """Write the model into ``directory`` as a float ``TunedModel``; ``inc_core.load`` reads it.

        Zeros are zeros there too, so that a restored model is as sparse.

        Raises:
            WorkspaceError: If the directory holds something else, or cannot be written.
        """
        model = self.adaptor.load(self.model)
        if self.sample is not None and isinstance(self.adaptor, ExampleTracing):
            model = self.adaptor.trace(model, self.sample)
        recipe = TuningSpace(tuple(self.adaptor.capabilities(model))).all_float()
        tuned = TunedModel(
            native=self.adaptor.quantize(model, recipe, Calibration.none()),
            recipe=recipe,
            adaptor=self.adaptor,
            facts=self._facts(),
            sample=self.sample,
            plugins=self.plugins,
        )
        return tuned.save(directory)

    def _facts(self) -> dict[str, Any]:
        return {
            "framework": self.adaptor.context.framework,
            "evaluated": self.accuracy is not None,
            "accuracy": {"baseline": self.baseline, "final": self.accuracy},
            "sparsity": None if self.sparsity is None else self.sparsity.to_json(),
        }
