"""The workspace: one folder per run, one run at a time, unfinished runs taken up again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from inc_core.errors import IncError, WorkspaceError, did_you_mean
from inc_core.tuning.fingerprint import differences
from inc_core.tuning.journal import Journal, Record, read_journal
from inc_core.tuning.lock import WorkspaceInUseError, WorkspaceLock

__all__ = ["JOURNAL", "find_run", "open_run", "record_facts", "runs_of"]

logger = logging.getLogger("inc_core.tuning")

JOURNAL = "journal.jsonl"

# Of the records' content; a journal of another one is not taken up.
FORMAT = 2

# Runs beside each other in one place are tried out by hand; more are a mistake.
MOST_SIBLINGS = 100

# A disk that takes nothing is no reason to lose a search; any other failure is a wrong path.
UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def open_run(
    path: str | Path,
    fingerprint: Mapping[str, str],
    *,
    seed: int,
    width: int = 1,
    versions: Mapping[str, str] | None = None,
    resume: str | None = None,
    if_busy: Literal["error", "sibling"] = "error",
) -> Iterator[Journal]:
    """Open the journal of a run: an unfinished run of the same problem, or a new one.

    At a normal end, or an ``IncError``, a search that stopped by itself is closed and never
    resumed by itself; an interrupted or killed one stays open.

    Args:
        path: The workspace; made if missing.
        fingerprint: What the problem depends on, by name.
        seed: Of the search.
        width: Of the search.
        versions: Versions of everything that decides the result, for the record.
        resume: A run to take up, by id (``"run-0003"``, ``"3"``) or by path.
        if_busy: Where another run is active in the workspace: an error, or the first free one of
            ``path-2``, ``path-3``, ...

    Raises:
        WorkspaceError: If another run is active in the workspace, the path is no directory, or the
            run named by ``resume`` is missing or of another problem.
    """
    header = {
        "fingerprint": dict(fingerprint), "seed": seed, "width": width, "format": FORMAT
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        try:
            folder, lock = _enter(Path(path), resume, if_busy)
            stack.enter_context(lock)
            journal = Journal(_choose(folder, header, resume) / JOURNAL)
        except OSError as error:
            journal = _in_memory(path, error, resume)
        stack.enter_context(journal)
        if not any(True for _ in journal.of("header")):
            journal.append("header", **header, versions=dict(versions or {}))
        try:
            yield journal
        except IncError:
            _close(journal)
            raise
        _close(journal)


def record_facts(journal: Journal, facts: Mapping[str, Any]) -> None:
    """Add what is known of the final model to a run whose search is over, for ``inc report``.

    Args:
        journal: What ``open_run`` gave; it may be closed by now.
        facts: Plain values, as ``inc.json`` holds them.
    """
    if journal.path is not None and journal.complete:
        with Journal(journal.path) as reopened:
            reopened.append("measured", what="facts", value=dict(facts))


def runs_of(workspace: Path) -> list[Path]:
    """Return the run folders of a workspace that hold a journal, oldest first."""
    found = [run for run in workspace.glob("run-*") if (run / JOURNAL).is_file()]
    return sorted(found, key=lambda run: (_number(run), run.name))


def find_run(path: Path) -> Path:
    """Return the run folder that a path means: itself, or the newest run of a workspace.

    Raises:
        WorkspaceError: If there is none.
    """
    if (path / JOURNAL).is_file():
        return path
    if path.name == JOURNAL and path.is_file():
        return path.parent
    runs = runs_of(path) if path.is_dir() else []
    if not runs:
        raise WorkspaceError(f"{path}: no run here; a run is a folder with a {JOURNAL}")
    return runs[-1]


def _enter(workspace: Path, resume: str | None, if_busy: str) -> tuple[Path, WorkspaceLock]:
    """Make and lock the workspace, that of the run to resume if it is elsewhere, or a sibling."""
    if resume is not None and _is_path(resume):
        workspace = find_run(Path(resume)).parent
    siblings = MOST_SIBLINGS if if_busy == "sibling" and resume is None else 1
    for number in range(1, siblings + 1):
        folder = workspace if number == 1 else workspace.with_name(f"{workspace.name}-{number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = WorkspaceLock(folder)
        except (FileExistsError, NotADirectoryError) as error:
            raise WorkspaceError(
                f"the workspace {str(folder)!r} cannot be made: a file is in its place. "
                "Choose another tuning.workspace.path."
            ) from error
        except WorkspaceInUseError:
            if number == siblings:
                raise
            continue
        if number > 1:
            logger.warning("the workspace %s is in use: this run is in %s", workspace, folder)
        return folder, lock
    raise AssertionError("the last sibling is returned or raises")


def _is_path(resume: str) -> bool:
    return os.sep in resume or (Path(resume) / JOURNAL).is_file()


class _Found(NamedTuple):
    """A run that was here before."""

    path: Path
    records: tuple[Record, ...]

    @property
    def header(self) -> Mapping[str, Any] | None:
        headers = (record.fields for record in self.records if record.type == "header")
        sound = (h for h in headers if isinstance(h.get("fingerprint"), dict))
        return next(sound, None)

    @property
    def is_closed(self) -> bool:
        return any(record.type == "closed" for record in self.records)


def _choose(workspace: Path, header: Mapping[str, Any], resume: str | None) -> Path:
    """Return the folder of the run to take up, or a new one."""
    runs = runs_of(workspace)
    if resume is not None:
        run = _named(runs, workspace, resume)
        problems = _mismatch(_Found(run, read_journal(run / JOURNAL)), header)
        if problems:
            raise WorkspaceError(
                f"{run.name} cannot be resumed, it was another problem: {'; '.join(problems)}. "
                "Undo the change, or remove tuning.workspace.resume to start a new run."
            )
        return run
    for run in reversed(runs):
        found = _Found(run, read_journal(run / JOURNAL))
        if found.is_closed:
            continue
        if found.header is None:
            _put_aside(run)
            continue
        problems = _mismatch(found, header)
        if not problems:
            logger.info("resuming the unfinished %s in %s", run.name, workspace)
            return run
        logger.info("%s is unfinished but another problem: %s", run.name, "; ".join(problems))
    run = workspace / f"run-{max(map(_number, workspace.glob('run-*')), default=0) + 1:04d}"
    run.mkdir()
    return run


def _put_aside(run: Path) -> None:
    """Rename a journal that nothing can be made of, so that it is met only once."""
    journal = run / JOURNAL
    if journal.stat().st_size == 0:  # killed before its first record: there is nothing to keep
        return
    aside = journal.with_suffix(".damaged")
    journal.replace(aside)
    logger.warning("%s holds no run that could be resumed; it is kept as %s", journal, aside.name)


def _named(runs: list[Path], workspace: Path, resume: str) -> Path:
    if _is_path(resume):
        return find_run(Path(resume))
    for run in runs:
        if resume == run.name or (resume.isdigit() and int(resume) == _number(run)):
            return run
    names = [run.name for run in runs]
    raise WorkspaceError(
        f"tuning.workspace.resume: no run {resume!r} in {str(workspace)!r}."
        f"{did_you_mean(resume, names)} Runs: {', '.join(names) or 'none'}"
    )


def _number(run: Path) -> int:
    match = re.fullmatch(r"run-(\d+)", run.name)
    return int(match[1]) if match else 0


def _mismatch(run: _Found, header: Mapping[str, Any]) -> list[str]:
    if run.header is None:
        return ["its journal has no readable header"]
    stored = {**run.header["fingerprint"], **_settings(run.header)}
    return differences(stored, {**header["fingerprint"], **_settings(header)})


def _settings(header: Mapping[str, Any]) -> dict[str, str]:
    names = {"seed": "seed", "width": "width", "format": "format of the journal"}
    return {text: str(header.get(name, 1)) for name, text in names.items()}


def _close(journal: Journal) -> None:
    stops = list(journal.of("stopped"))
    if stops and stops[-1].get("reason") != "interrupted":
        journal.append("closed")


def _in_memory(path: str | Path, error: OSError, resume: str | None) -> Journal:
    """Return a journal without a file if nothing can be written; other errors are passed on."""
    if isinstance(error, WorkspaceError):
        raise error
    if error.errno not in UNWRITABLE or resume is not None:
        raise WorkspaceError(
            f"the workspace {str(path)!r} cannot be used: {error.strerror}. "
            "Choose another tuning.workspace.path."
        ) from error
    logger.warning(
        "the workspace %s cannot be written (%s): the search goes on in memory, its history will "
        "be incomplete and it cannot be resumed",
        path, error.strerror,
    )  # fmt: skip
    return Journal(complete=False)
