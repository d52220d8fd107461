"""What scripts build and hand to a façade: thin holders under the names that they import."""

from __future__ import annotations

import inspect
from typing import Any

from inc_core.data.dataloader import DataLoader
from inc_core.errors import ConfigError

__all__ = ["DataLoader", "Metric", "Model", "Postprocess"]


class Model:
    """A float model, with what its framework needs to know beside it.

    Args:
        root: A path or a framework's object.
        kwargs: For the framework's plugin, such as names of inputs and outputs.
    """

    def __init__(self, root: Any, **kwargs: Any) -> None:
        self.root = root
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"Model({self.root if isinstance(self.root, str) else type(self.root).__name__!r})"


class Metric:
    """A metric class with its parameters, or a ready instance.

    Args:
        metric_cls: A class with ``update(predictions, labels)`` and ``result()``, an instance of one,
            or a function that makes one.
        name: A name for reports.
        kwargs: Parameters of the class.

    Raises:
        ConfigError: If parameters are given for an instance.

    Example:
        >>> class Agreement:
        ...     def __init__(self, top=1):
        ...         self.top, self.hits, self.total = top, 0, 0
        ...     def update(self, predictions, labels):
        ...         best = predictions.argsort(-1)[:, -self.top:]
        ...         self.hits += (best == labels[:, None]).sum()
        ...         self.total += len(labels)
        ...     def result(self):
        ...         return self.hits / self.total
        >>> metric = Metric(Agreement, "agreement", top=5)
    """

    def __init__(self, metric_cls: Any, name: str = "user_metric", **kwargs: Any) -> None:
        self.metric_cls = metric_cls
        self.name = name
        self.kwargs = kwargs
        if kwargs and not callable(metric_cls):
            raise ConfigError(
                f"common.Metric({name!r}): {sorted(kwargs)} are parameters of a class, but a ready "
                f"{type(metric_cls).__name__} was given. Give the class, or no parameters."
            )

    def __repr__(self) -> str:
        return f"Metric({self.name!r})"


class Postprocess:
    """A postprocess class with its parameters, or a ready callable.

    Args:
        postprocess_cls: A class whose instances are called with the pair ``(outputs, labels)`` of a
            batch and return one; or such an instance, or a function.
        name: A name for reports.
        kwargs: Parameters of the class.

    Raises:
        ConfigError: If there is nothing to call, or the class does not take these parameters.

    Example:
        >>> def first_output(sample):
        ...     outputs, labels = sample
        ...     return outputs[0], labels
        >>> Postprocess(first_output)((("logits", "state"), 7))
        ('logits', 7)
    """

    def __init__(self, postprocess_cls: Any, name: str = "user_postprocess", **kwargs: Any) -> None:
        self.name = name
        self.kwargs = kwargs
        self.transform = self._made(postprocess_cls)

    def __call__(self, sample: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return the postprocessed ``(outputs, labels)``."""
        pair: tuple[Any, Any] = self.transform(sample)
        return pair

    def __repr__(self) -> str:
        return f"Postprocess({self.name!r})"

    def _made(self, source: Any) -> Any:
        if inspect.isclass(source):
            try:
                source = source(**self.kwargs)
            except TypeError as error:
                raise ConfigError(
                    f"common.Postprocess({self.name!r}) cannot be made with {self.kwargs!r}: {error}"
                ) from error
        elif self.kwargs:
            raise ConfigError(
                f"common.Postprocess({self.name!r}): {sorted(self.kwargs)} are parameters of a class, "
                "but a ready object was given"
            )
        if not callable(source):
            raise ConfigError(
                f"a postprocess is called with (outputs, labels); {type(source).__name__} cannot be"
            )
        return source
