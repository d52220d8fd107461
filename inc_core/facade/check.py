"""The dry run: everything resolved, one batch through every stage, time and memory estimated."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from inc_core.data.spans import batch_total
from inc_core.errors import DataError
from inc_core.facade.check_runner import check_runner
from inc_core.facade.choices import objectives_of, strategy_of
from inc_core.facade.loaders import read_batches
from inc_core.facade.session import Session
from inc_core.hookspecs.adaptor import FloatRewrites
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe

__all__ = ["CheckReport", "check_session"]

T = TypeVar("T")


@dataclass(frozen=True)
class CheckReport:
    """What a dry run found.

    Attributes:
        framework: The framework in use.
        ops: Quantizable ops by type.
        float_ops: Op name and reason for each op that stays float.
        precisions: Ops by precision under the first recipe.
        stages: Seconds of each stage on one batch, in order.
        estimate: Estimated seconds: ``baseline``, ``calibration``, ``trial``; what is unknown is missing.
        peak_mb: Peak resident memory of this process so far, in MB.
        runner: Where trials would run, and what is in the way, in words.
        op_names: Name and type of every quantizable op, in execution order.
    """

    framework: str
    ops: dict[str, int]
    float_ops: dict[str, str]
    precisions: dict[str, int]
    stages: dict[str, float]
    estimate: dict[str, float]
    peak_mb: float
    runner: tuple[str, ...] = ()
    op_names: tuple[tuple[str, str], ...] = ()

    def render(self, *, names: bool = False) -> str:
        """Return the report as text, on request with the name of every op."""
        ops = ", ".join(f"{count} {kind}" for kind, count in self.ops.items()) or "none"
        lines = [f"framework     {self.framework}", f"quantizable   {ops}"]
        lines.append("first recipe  " + ", ".join(f"{n} {p}" for p, n in self.precisions.items()))
        if names:
            lines += [f"op            {name} ({kind})" for name, kind in self.op_names]
        lines += [f"stays float   {name}: {why}" for name, why in self.float_ops.items()]
        lines += [f"one batch     {stage}: {s:.3f} s" for stage, s in self.stages.items()]
        lines += [f"estimate      {stage}: {s:.1f} s" for stage, s in self.estimate.items()]
        lines.append(f"memory        {self.peak_mb:.0f} MB so far")
        lines += [f"trials        {line}" for line in self.runner]
        return "\n".join(lines)


def check_session(session: Session) -> CheckReport:
    """Send one batch through every stage of a run; nothing is written."""
    stages: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        outcome = work()
        stages[stage] = time.perf_counter() - start
        return outcome

    strategy_of(session), objectives_of(session)  # that there are such, and that they can be made
    recipe = session.space.default()
    adaptor, model = session.opened.adaptor, session.opened.model
    quantized = _calibrate_and_build(session, recipe, timed)
    sizes: list[int] = []
    if session.eval_dataloader is not None:
        batch = timed(
            "read an evaluation batch", lambda: _first(session.eval_dataloader, "evaluation")
        )
        sizes.append(batch.size)
        timed("float inference", lambda: adaptor.predict(model, batch.inputs))
        timed("quantized inference", lambda: adaptor.predict(quantized, batch.inputs))
        _evaluate_one(session, batch, timed)
    return CheckReport(
        framework=session.opened.framework,
        ops=dict(Counter(op.type for op in session.space.ops)),
        float_ops={
            capability.op.name: capability.note
            for capability in session.space.capabilities
            if capability.note and not any(c.is_quantized for c in capability.configs)
        },
        precisions=dict(recipe.precisions()),
        stages=stages,
        estimate=_estimate(session, stages, sizes),
        peak_mb=_peak_mb(),
        runner=check_runner(session),
        op_names=tuple((op.name, op.type) for op in session.space.ops),
    )


def _calibrate_and_build(session: Session, recipe: Recipe, timed: Callable[..., Any]) -> Any:
    adaptor = session.opened.adaptor
    source = _rewritten(session, recipe.options)
    calibration = Calibration.none()
    if session.calib_dataloader is not None:
        batch = timed(
            "read a calibration batch", lambda: _first(session.calib_dataloader, "calibration")
        )
        calibrator = session.calibrate_over(
            source, recipe.options, lambda: iter([batch.inputs]), (batch.size,)
        )
        calibration = timed("calibrate", lambda: calibrator.calibration(batch.size))
    return timed("quantize", lambda: adaptor.quantize(source, recipe, calibration))


def _rewritten(session: Session, options: tuple[str, ...]) -> Any:
    adaptor, model = session.opened.adaptor, session.opened.model
    if options and isinstance(adaptor, FloatRewrites):
        return adaptor.rewrite(model, options)
    return model


def _evaluate_one(session: Session, batch: Any, timed: Callable[..., Any]) -> None:
    evaluator = session.evaluator
    if evaluator is not None and hasattr(evaluator, "over"):
        one_batch = evaluator.over([(batch.inputs, batch.labels)])
        timed("float metric", lambda: one_batch.evaluate(session.opened.model))


def _first(loader: Any, what: str) -> Any:
    for batch in read_batches(loader, what):
        return batch
    raise DataError("the dataloader is empty: it gave no batch")


def _estimate(session: Session, stages: dict[str, float], sizes: list[int]) -> dict[str, float]:
    estimate: dict[str, float] = {}
    read = stages.get("read a calibration batch")
    if read is not None:
        wanted = math.ceil(max(session.space.calib_samples) / max(1, _batch_size(session)))
        batches = min(wanted, batch_total(session.calib_dataloader) or wanted)
        estimate["calibration"] = batches * (read + stages["calibrate"])
    count = batch_total(session.eval_dataloader)
    if sizes and count:
        read = stages["read an evaluation batch"]
        estimate["baseline"] = count * (read + stages["float inference"])
        estimate["one trial"] = stages["quantize"] + count * (read + stages["quantized inference"])
    return estimate


def _batch_size(session: Session) -> int:
    return int(getattr(session.calib_dataloader, "batch_size", 1) or 1)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024  # bytes there, KB here
