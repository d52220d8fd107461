"""The report of a search as text or plain values, from its facts or from its journal alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inc_core.quant.spec import INTEGER_RANGES
from inc_core.tuning.history import baseline_of, trials_of
from inc_core.tuning.journal import Record, read_journal
from inc_core.tuning.lines import baseline_line, trial_line
from inc_core.tuning.trial import Baseline, Trial
from inc_core.tuning.workspace import JOURNAL, find_run

__all__ = ["render_facts", "report_from_run", "report_from_run_json"]

MAX_NAMES = 4  # op names shown per reason; the ledger has all

STOPS: Mapping[str, str] = {
    "goal_met": "the accuracy goal was met",
    "exhausted": "the strategy had nothing more to try",
    "max_trials": "the number of trials was used up",
    "timeout": "the time was used up",
    "interrupted": "it was interrupted",
    "performance_only": "accuracy was not to be evaluated",
    "failures": "trials kept failing",
}


def render_facts(facts: Mapping[str, Any]) -> str:
    """Return the final report of a tuned model.

    Args:
        facts: What is known of it, as ``inc.json`` holds it; what is missing is left out.
    """
    return "\n".join(
        [
            f"Result: {_verdict(facts)}",
            *_table(facts),
            *_sparsity(facts.get("sparsity")),
            *_ops(facts),
            *_float_ops(facts.get("float_ops", {})),
            *_search(facts.get("search", {})),
        ]
    )


def _verdict(facts: Mapping[str, Any]) -> str:
    if not facts.get("evaluated", True):
        return "converted; accuracy was NOT evaluated"
    verdict = "accuracy goal met" if facts.get("goal_met") else "accuracy goal NOT met (best seen)"
    if facts.get("kept_float"):
        verdict += "; but the quantized model was slower here: this is the float model"
    elif facts.get("ops") and not _quantized_ops(facts):
        verdict += "; but no quantized op could be kept: this is the float model"
    return verdict


def _quantized_ops(facts: Mapping[str, Any]) -> int:
    rows = facts["ops"].values()
    return sum(n for row in rows for precision, n in row.items() if precision in _INTEGERS)


_INTEGERS = frozenset(INTEGER_RANGES)


def _table(facts: Mapping[str, Any]) -> Iterator[str]:
    rows = [*_accuracy_rows(facts), *_latency_rows(facts.get("latency")), *_size_rows(facts)]
    if rows:
        yield from _aligned([("", "float", "tuned", ""), *rows])


def _accuracy_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    accuracy = facts.get("accuracy") or {}
    if accuracy.get("baseline") is None:
        return
    baseline, final = accuracy["baseline"], accuracy.get("final")
    sign = ">=" if accuracy.get("higher_is_better", True) else "<="
    goal = accuracy.get("threshold")
    yield (
        "accuracy",
        f"{baseline:.4f}",
        "n/a" if final is None else f"{final:.4f}",
        "" if goal is None else f"goal {sign} {goal:.4f}",
    )


def _latency_rows(latency: Mapping[str, Any] | None) -> Iterator[tuple[str, ...]]:
    if latency is None:
        return
    yield (
        "latency (ms)",
        _milliseconds(latency["baseline"]),
        _milliseconds(latency["tuned"]),
        f"{latency['speedup']:.2f}x "
        f"[95 %: {latency['speedup_lo']:.2f} - {latency['speedup_hi']:.2f}], "
        f"{latency['rounds']} interleaved rounds",
    )
    if latency["speedup_hi"] < 1.0:
        yield ("", "", "", "the tuned model is SLOWER than the float model on this machine")


def _milliseconds(latency: Mapping[str, float]) -> str:
    median, q1, q3 = (1e3 * latency[name] for name in ("median", "q1", "q3"))
    return f"{median:.3f} ({q1:.3f} - {q3:.3f})"


def _size_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    size = facts.get("size_mb")
    if size:
        ratio = size["baseline"] / size["final"] if size["final"] else float("inf")
        yield (
            "size (MB)",
            f"{size['baseline']:.2f}",
            f"{size['final']:.2f}",
            f"{ratio:.2f}x smaller" if ratio >= 1 else f"{1 / ratio:.2f}x larger",
        )


def _sparsity(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is not None:
        yield f"Sparsity: {found['sparsity']:.2%} of {len(found['weights'])} weights are zero"


def _ops(facts: Mapping[str, Any]) -> Iterator[str]:
    ops: Mapping[str, Mapping[str, int]] = facts.get("ops") or {}
    precisions = sorted({precision for row in ops.values() for precision in row})
    if not precisions:
        return
    yield "Ops by precision:"
    rows = [("", "total", *precisions)]
    rows += [
        (kind, str(sum(row.values())), *(str(row.get(p, 0)) for p in precisions))
        for kind, row in sorted(ops.items())
    ]
    yield from _aligned(rows)


def _float_ops(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield each reason once, with the ops that it kept float."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    if names:
        yield "Ops that stayed float:"
    for reason, ops in sorted(names.items(), key=lambda item: -len(item[1])):
        more = f", ... ({len(ops)} ops)" if len(ops) > MAX_NAMES else ""
        yield f"  {', '.join(ops[:MAX_NAMES])}{more}: {reason}"


def _search(search: Mapping[str, Any]) -> Iterator[str]:
    if not search:
        return
    yield (
        f"Search: {search['trials']} trial(s), trial {search['chosen']} chosen, "
        f"{search['samples']} samples evaluated, {search['seconds']:.1f} s"
    )
    yield f"Stopped because {_why(search['stopped_by'], search.get('message', ''))}"
    if not search.get("history_complete", True):
        yield "History incomplete: the workspace could not be written; see the warnings above."


def _why(reason: str, message: str) -> str:
    why = STOPS.get(reason, reason)
    return f"{why}: {message}" if message else why


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows with their columns aligned, two spaces apart and in."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()


def report_from_run(path: str | Path) -> str:
    """Return the report of a run from its folder alone; the run may be unfinished or running.

    Args:
        path: A run's folder, its journal, or a workspace (its newest run).

    Raises:
        WorkspaceError: If there is no run.
    """
    run = find_run(Path(path))
    records = read_journal(run / JOURNAL)
    lines = [f"{run.name}: {_state(records)}"]
    baseline, trials = baseline_of(records), list(trials_of(records))
    if baseline is not None and baseline.accuracy is not None:
        lines.append(baseline_line(baseline))
        lines += _trial_lines(trials, baseline, records)
    facts = _facts(records)
    if facts is not None:
        lines.append(render_facts(facts))
    return "\n".join(lines)


def report_from_run_json(path: str | Path) -> dict[str, Any]:
    """Return the same as plain values: ``run, state, header, baseline, trials, stopped, facts``.

    Raises:
        WorkspaceError: If there is no run.
    """
    run = find_run(Path(path))
    records = read_journal(run / JOURNAL)
    baseline = baseline_of(records)
    return {
        "run": run.name,
        "state": _state(records),
        "header": _last(records, "header"),
        "baseline": None if baseline is None else dict(vars(baseline)),
        "trials": [trial.to_json() for trial in trials_of(records)],
        "stopped": _last(records, "stopped"),
        "facts": _facts(records),
    }


def _trial_lines(
    trials: Sequence[Trial], baseline: Baseline, records: Sequence[Record]
) -> Iterator[str]:
    """Yield the lines as they were printed; when a trial became the best so far is journaled."""
    new_best = {record.fields["number"] for record in records if record.type == "accepted"}
    best: Trial | None = None
    for trial in trials:
        if trial.number in new_best:
            best = trial
        yield trial_line(trial, baseline, best)


def _state(records: Sequence[Record]) -> str:
    ends = [record for record in records if record.type in ("asked", "stopped")]
    if not ends or ends[-1].type == "asked":  # an interrupted run may have been taken up again
        return "unfinished"
    stopped = ends[-1].fields
    return f"stopped because {_why(stopped['reason'], stopped['message'])}"


def _facts(records: Sequence[Record]) -> dict[str, Any] | None:
    for record in reversed(records):
        if record.type == "measured" and record.fields["what"] == "facts":
            return dict(record.fields["value"])
    return None


def _last(records: Sequence[Record], type: str) -> dict[str, Any] | None:
    return next((dict(r.fields) for r in reversed(records) if r.type == type), None)
