"""The report of a search as text or plain values, from its facts or from its journal alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inc_core.errors import WorkspaceError
from inc_core.quant.spec import INTEGER_RANGES
from inc_core.tuning.history import baseline_of, trials_of
from inc_core.tuning.journal import Record, read_journal
from inc_core.tuning.lines import why
from inc_core.tuning.picture import draw_front
from inc_core.tuning.story import Story, facts_of, story_from_facts, story_from_records
from inc_core.tuning.table import aligned, trial_table
from inc_core.tuning.workspace import JOURNAL, find_run

__all__ = [
    "picture_of",
    "render_facts",
    "report_from_facts",
    "report_from_run",
    "report_from_run_json",
]

MAX_NAMES = 4  # op names shown per reason; the ledger has all


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


def report_from_facts(facts: Mapping[str, Any]) -> str:
    """Return the final report of a tuned model, and the table of the trials that led to it."""
    story = story_from_facts(facts)
    return "\n".join([render_facts(facts), *([] if story is None else trial_table(story))])


def picture_of(story: Story | None, path: str | Path) -> str:
    """Return the picture of a search, as SVG.

    Args:
        story: The search; ``None`` where none is told.
        path: Where the story was looked for, for the error.

    Raises:
        WorkspaceError: If there is no story, or it has no trial yet.
    """
    if story is None or not story.rows:
        raise WorkspaceError(
            f"{path}: there is nothing to draw: no trial was evaluated there. A picture needs a "
            "search with evaluation data, of which at least one trial has ended."
        )
    return draw_front(story)


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
        yield from aligned([("", "float", "tuned", ""), *rows])


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
    yield from aligned(rows)


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
    yield f"Stopped because {why(search['stopped_by'], search.get('message', ''))}"
    if not search.get("history_complete", True):
        yield "History incomplete: the workspace could not be written; see the warnings above."


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
    story = story_from_records(run.name, records)
    if story is not None:
        lines += trial_table(story)
    lines += [f"  trial {number} was started and has not ended" for number in _open(records)]
    facts = facts_of(records)
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
        "facts": facts_of(records),
    }


def _state(records: Sequence[Record]) -> str:
    ends = [record for record in records if record.type in ("asked", "stopped")]
    if not ends or ends[-1].type == "asked":  # an interrupted run may have been taken up again
        return "unfinished"
    stopped = ends[-1].fields
    return f"stopped because {why(stopped['reason'], stopped['message'])}"


def _open(records: Sequence[Record]) -> list[int]:
    """Return the numbers of trials that run, or ran when the search was killed."""
    numbers = {"asked": set[int](), "finished": set[int]()}
    for record in records:
        if record.type == "asked":
            numbers["asked"].add(record.fields["number"])
        elif record.type == "finished":
            numbers["finished"].add(record.fields["trial"]["number"])
    return sorted(numbers["asked"] - numbers["finished"])


def _last(records: Sequence[Record], type: str) -> dict[str, Any] | None:
    return next((dict(r.fields) for r in reversed(records) if r.type == type), None)
