"""Quantization-aware training: train with integers simulated, then quantize with what was learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inc_core.facade.hooks import TrainingHooks
from inc_core.facade.opened import load_traced
from inc_core.facade.session import Session, TrainingOutcome
from inc_core.facade.training import Participant, Training, native_source, run_loop
from inc_core.hookspecs.training import Ranges, SimulatedOp, Trained
from inc_core.quant.ledger import Decision
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpCapability, OpKey, TensorKey

__all__ = ["train_session"]


def train_session(
    session: Session, hooks: TrainingHooks, participants: Sequence[Participant] = ()
) -> Session:
    """Train the model of a session, and return the session of the trained one.

    The search that follows needs no further training: it builds from the trained weights and learnt
    ranges, and its goal is relative to the float model as it was given.

    Args:
        session: With an adaptor that is ``Trainable``.
        hooks: The façade whose hooks the training function calls.
        participants: Who listens besides, such as a ``Pruning``.

    Raises:
        ConfigError: If nothing trains the model.
    """
    adaptor: Any = session.opened.adaptor
    ops = _simulated_ops(session.space)
    source = native_source(session.parts.model)
    model = adaptor.prepare_training(adaptor.trainable(source), ops, _starting_ranges(session, ops))
    train = session.config.quantization.train or session.config.train
    training = Training(adaptor, model, session.plugins, train)
    listeners = [participant._join(training) for participant in participants]
    run_loop(
        hooks, training, participants, listeners, session.parts.q_func, session.train_dataloader
    )
    facts: dict[str, Any] = {}
    for listener in listeners:
        facts.update(listener.outcome())
    return _trained_session(session, adaptor.finish_training(model), facts)


def _simulated_ops(space: TuningSpace) -> dict[OpKey, SimulatedOp]:
    return {
        op: SimulatedOp(config, space.capability(op).activations)
        for op, config in space.default().ops.items()
        if config.mode == "static"
    }


def _starting_ranges(session: Session, ops: Mapping[OpKey, SimulatedOp]) -> Ranges:
    """Return the calibrated range of each tensor that is simulated; nothing without data."""
    if session.calib_dataloader is None:
        return {}
    calibrator = session.calibrate(session.opened.model, ())
    calibration = calibrator.calibration(session.space.calib_samples[0])
    return {
        key: calibration.range(key, op.config.activation.algorithm)
        for op in ops.values()
        if op.config.activation is not None
        for key in op.activations
    }


def _trained_session(session: Session, trained: Trained, facts: dict[str, Any]) -> Session:
    adaptor = session.opened.adaptor
    model = load_traced(adaptor, trained.source, session.example)
    sparsity = facts.get("sparsity")
    outcome = TrainingOutcome(
        ranges=trained.ranges,
        float_model=session.opened.model,
        facts={"sparsity": None if sparsity is None else sparsity.to_json()},
    )
    space = session.space
    if session.calib_dataloader is None:
        space = _with_ranges(space, trained.ranges)
    opened = replace(session.opened, model=model, capabilities=tuple(adaptor.capabilities(model)))
    return replace(session, opened=opened, space=space, trained=outcome)


def _with_ranges(space: TuningSpace, ranges: Ranges) -> TuningSpace:
    """Return the space in which ops stay float whose ranges nobody knows."""
    decisions = tuple(_unknown(space.capabilities, ranges))
    floats = {decision.op: decision.reason for decision in decisions}
    capabilities = tuple(
        replace(c, configs=_float_configs(c), note=floats[c.op]) if c.op in floats else c
        for c in space.capabilities
    )
    return replace(space, capabilities=capabilities, decisions=(*space.decisions, *decisions))


def _unknown(capabilities: Sequence[OpCapability], ranges: Ranges) -> Iterator[Decision]:
    for capability in capabilities:
        missing = [key for key in capability.activations if key not in ranges]
        if missing and len(_float_configs(capability)) < len(capability.configs):
            reason = (
                f"the training learnt no range of {_label(missing[0])}; with calibration data the op "
                "could be quantized"
            )
            yield Decision(capability.op, _float_configs(capability)[0], reason, "adaptor")


def _float_configs(capability: OpCapability) -> tuple[Any, ...]:
    return tuple(config for config in capability.configs if not config.is_quantized)


def _label(key: TensorKey) -> str:
    return repr("/".join(filter(None, key)))
