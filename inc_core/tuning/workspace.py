"""The workspace: one folder per run, one run at a time, unfinished runs taken up again."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from inc_core.errors import IncError, WorkspaceError, did_you_mean
from inc_core.tuning.fingerprint import differences
from inc_core.tuning.journal import Journal, read_journal

__all__ = ["JOURNAL", "find_run", "open_run", "record_facts", "runs_of"]

logger = logging.getLogger("inc_core.tuning")

JOURNAL = "journal.jsonl"
LOCK = "lock"

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

    Raises:
        WorkspaceError: If another run is active in the workspace, the path is no directory, or the
            run named by ``resume`` is missing or of another problem.
    """
    header = {"fingerprint": dict(fingerprint), "seed": seed, "width": width}
    with contextlib.ExitStack() as stack:
        try:
            folder, lock = _enter(Path(path), resume)
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


def _enter(workspace: Path, resume: str | None) -> tuple[Path, IO[str]]:
    """Make and lock the workspace, that of the run to resume if it is elsewhere."""
    if resume is not None and _is_path(resume):
        workspace = find_run(Path(resume)).parent
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WorkspaceError(
            f"the workspace {str(workspace)!r} cannot be made: a file is in its place. "
            "Choose another tuning.workspace.path."
        ) from error
    return workspace, _lock(workspace / LOCK)


def _is_path(resume: str) -> bool:
    return os.sep in resume or (Path(resume) / JOURNAL).is_file()


def _choose(workspace: Path, header: Mapping[str, Any], resume: str | None) -> Path:
    """Return the folder of the run to take up, or a new one."""
    runs = runs_of(workspace)
    if resume is not None:
        run = _named(runs, workspace, resume)
        problems = _mismatch(run, header)
        if problems:
            raise WorkspaceError(
                f"{run.name} cannot be resumed, it was another problem: {'; '.join(problems)}. "
                "Undo the change, or remove tuning.workspace.resume to start a new run."
            )
        return run
    for run in reversed(runs):
        if _is_closed(run):
            continue
        problems = _mismatch(run, header)
        if not problems:
            logger.info("resuming the unfinished %s in %s", run.name, workspace)
            return run
        logger.info("%s is unfinished but another problem: %s", run.name, "; ".join(problems))
    run = workspace / f"run-{max(map(_number, workspace.glob('run-*')), default=0) + 1:04d}"
    run.mkdir()
    return run


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


def _mismatch(run: Path, header: Mapping[str, Any]) -> list[str]:
    for record in read_journal(run / JOURNAL):
        if record.type == "header":
            stored = {**record.fields["fingerprint"], **_settings(record.fields)}
            return differences(stored, {**header["fingerprint"], **_settings(header)})
    return ["its journal has no readable header"]


def _settings(header: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(header[name]) for name in ("seed", "width")}


def _is_closed(run: Path) -> bool:
    return any(record.type == "closed" for record in read_journal(run / JOURNAL))


def _close(journal: Journal) -> None:
    stops = list(journal.of("stopped"))
    if stops and stops[-1]["reason"] != "interrupted":
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


def _lock(path: Path) -> IO[str]:
    """Take the workspace's lock for as long as the returned file is open.

    Raises:
        WorkspaceError: If another run holds it; names that run.
    """
    file = path.open("a+", encoding="utf-8")
    if not _try_lock(file):
        owner = _owner(path)
        file.close()
        raise WorkspaceError(
            f"the workspace {str(path.parent)!r} is in use by another run ({owner}). "
            "Wait for it, or choose another tuning.workspace.path."
        )
    file.truncate(0)
    json.dump(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "boot": _boot_id(),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        },
        file,
    )
    file.flush()
    return file


def _try_lock(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: runs are not kept apart there
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        logger.warning("%s cannot be locked (%s): do not start a second run here", file.name, error)
    return True


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"pid {owner['pid']} on {owner['host']}, started {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is just writing, or an old inc wrote it
        return "owner unknown"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return ""
