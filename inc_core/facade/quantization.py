"""``Quantization``: the object that scripts hold. Setters only store; ``fit()`` resolves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inc_core.config.load import load_config
from inc_core.config.types import ComponentConfig, Config, DataLoaderConfig
from inc_core.data.build import build_dataloader
from inc_core.data.dataloader import DataLoader
from inc_core.errors import GoalNotMetError, IncError
from inc_core.facade.check import CheckReport, check_session
from inc_core.facade.hooks import TrainingHooks
from inc_core.facade.parts import Parts
from inc_core.facade.qat import train_session
from inc_core.facade.run import Run
from inc_core.facade.session import open_session
from inc_core.facade.training import Participant
from inc_core.plugin import Plugins, get_plugins
from inc_core.tuning.console import Console

if TYPE_CHECKING:
    from inc_core.tuned_model import TunedModel

__all__ = ["Quantization"]


class Quantization(TrainingHooks, Parts):
    """Find the fastest quantized model that meets an accuracy goal.

    Both call styles of the original API work. Attributes first::

        quantizer = Quantization("conf.yaml")
        quantizer.model = "model.onnx"
        quantizer.calib_dataloader = common.DataLoader(dataset, batch_size=32)
        quantizer.eval_func = evaluate
        q_model = quantizer.fit()
        q_model.save("out")

    or everything in one call: ``Quantization(conf)(model, q_dataloader=..., eval_func=...)``.

    With ``approach: quant_aware_training``, ``q_func`` trains the model that it is given, in which the
    rounding of integers is simulated; or the section ``quantization.train`` describes the training.

    What may be set is listed at ``EvaluationParts`` and ``Parts``; setting only stores, in any order.

    Args:
        conf_fname_or_obj: A YAML path, a mapping, a ``Config``, or ``None`` for the defaults.
        plugins: Where components are found; the installed plugins by default.
        verbose: Print every trial, and why the search stopped, to standard error.
    """

    config: Config
    verbose: bool

    def __init__(
        self,
        conf_fname_or_obj: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        plugins: Plugins | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.config = load_config(conf_fname_or_obj)
        self.verbose = verbose
        self._plugins = plugins
        self._run: Run | None = None

    def fit(self) -> TunedModel:
        """Tune and return the best model; never ``None``.

        Raises:
            GoalNotMetError: If no recipe met the goal (``.result`` holds the trials; ``best_seen()``
                builds the closest), unless ``tuning.exit_policy.on_goal_not_met: best_seen``.
            ConfigError: If something that the run needs is missing or wrong.
            IncError: The other errors of ``inc_core.errors``; nothing is swallowed.
        """
        return self._fit_with(self, self, ())

    def _fit_with(
        self, parts: Parts, hooks: TrainingHooks, participants: Sequence[Participant]
    ) -> TunedModel:
        """Fit with the parts, hooks and participants of a combination, or with one's own."""
        console = Console(verbose=self.verbose)
        with console.doing("quantizing"):
            session = open_session(self.config, parts, self._plugins or get_plugins(), console)
            if self.config.quantization.approach == "qat":
                with console.doing("training"):
                    session = train_session(session, hooks, participants)
            self._run = Run(session)
            result = self._run.tune()
            if result.best is None and not self._may_return_best_seen():
                raise GoalNotMetError(self._run.why_not_met(), result)
            return self._run.finish()

    def __call__(
        self,
        model: Any = None,
        q_dataloader: Any = None,
        q_func: Callable[[Any], Any] | None = None,
        eval_dataloader: Any = None,
        eval_func: Callable[..., Any] | None = None,
    ) -> TunedModel:
        """Set what is given, then ``fit()``."""
        given = {
            "model": model,
            "calib_dataloader": q_dataloader,
            "q_func": q_func,
            "eval_dataloader": eval_dataloader,
            "eval_func": eval_func,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        return self.fit()

    def best_seen(self) -> TunedModel:
        """Return the best model of the last ``fit()``, met goal or not; it is marked accordingly.

        Raises:
            IncError: If ``fit()`` has not run, or no trial finished.
        """
        if self._run is None:
            raise IncError("best_seen() needs a run: call fit() first")
        return self._run.finish()

    def check(self) -> CheckReport:
        """Resolve everything and send one batch through every stage; nothing is written."""
        return check_session(open_session(self.config, self, self._plugins or get_plugins()))

    def dataset(self, dataset_type: str, **parameters: Any) -> Any:
        """Build a dataset of an installed plugin by name."""
        components = self._plugins or get_plugins()
        return components.create("dataset", ComponentConfig(dataset_type, parameters))

    def dataloader(self, dataset: Any, batch_size: int = 1, **options: Any) -> Any:
        """Build a data loader over a dataset object, or from a ``DataLoaderConfig``."""
        if isinstance(dataset, DataLoaderConfig):
            return build_dataloader(dataset, self._plugins or get_plugins())
        return DataLoader(dataset, batch_size=batch_size, **options)

    def _may_return_best_seen(self) -> bool:
        return self.config.tuning.exit_policy.on_goal_not_met == "best_seen"
