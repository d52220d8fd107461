"""The latency table of a model: measured by the adaptor, journaled by the run, kept by the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inc_core.hookspecs.adaptor import Adaptor, LatencyTable, OpTimer
from inc_core.machine import describe_machine
from inc_core.quant.spec import OpCapability, OpConfig, OpKey
from inc_core.tuning.cache import Cache
from inc_core.tuning.fingerprint import versions_of
from inc_core.tuning.journal import Journal

__all__ = ["measure_latency", "pack_table", "unpack_table"]

_WHAT = "latency"


def measure_latency(
    adaptor: Adaptor,
    model: Any,
    capabilities: Sequence[OpCapability],
    sample: Any,
    *,
    journal: Journal,
    cache: Cache,
) -> LatencyTable | None:
    """Return the seconds of single ops: the journal's, else measured now and journaled.

    Args:
        adaptor: Measures, if it is an ``OpTimer``.
        model: The float model.
        capabilities: Ops and configs of interest.
        sample: One batch of inputs; ``None`` measures nothing.
        journal: A resumed run must decide by the same numbers.
        cache: Holds what was measured on this machine with these versions, model or not.
    """
    for fields in journal.of("measured"):
        if fields["what"] == _WHAT:
            return unpack_table(fields["value"])
    if sample is None or not isinstance(adaptor, OpTimer):
        return None
    key = {**describe_machine(), **versions_of(adaptor), "threads": adaptor.context.threads}
    stored: Mapping[str, Sequence[float]] = cache.get_json(_WHAT, key) or {}
    known = dict(stored)
    table = adaptor.time_ops(model, capabilities, sample, known)
    if len(known) > len(stored):
        # a run beside this one may have added to it meanwhile
        cache.put_json(_WHAT, key, {**(cache.get_json(_WHAT, key) or {}), **known})
    journal.append("measured", what=_WHAT, value=pack_table(table))
    return table


def pack_table(table: LatencyTable) -> dict[str, Any]:
    """Return a table as plain values, each distinct config once."""
    index: dict[OpConfig, int] = {}
    rows = [
        [*op, [[index.setdefault(c, len(index)), seconds] for c, seconds in by_config.items()]]
        for op, by_config in table.seconds.items()
    ]
    boundary = [[*first, *second, cost] for (first, second), cost in table.boundary.items()]
    return {"configs": [c.to_json() for c in index], "ops": rows, "boundary": boundary}


def unpack_table(fields: Mapping[str, Any]) -> LatencyTable:
    """Inverse of ``pack_table``."""
    configs = [OpConfig.from_json(config) for config in fields["configs"]]
    return LatencyTable(
        {
            OpKey(name, kind): {configs[index]: seconds for index, seconds in row}
            for name, kind, row in fields["ops"]
        },
        {(OpKey(a, b), OpKey(c, d)): cost for a, b, c, d, cost in fields["boundary"]},
    )
