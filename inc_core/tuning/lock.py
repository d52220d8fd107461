"""One run at a time in a workspace: the system's file lock, or a lease where there is none.

A lock ends with its process. A lease is a file whose owner writes to it again and again: one that is
not written any more belongs to a dead run and is taken over. No clock is compared between machines.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from inc_core.errors import WorkspaceError

__all__ = ["Lease", "WorkspaceInUseError", "WorkspaceLock"]

logger = logging.getLogger("inc_core.tuning")

LOCK = "lock"
LEASE = "lock.lease"

# What flock says on file systems that have no locks.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})

HEARTBEAT_SECONDS = 5.0
# A living owner may be late by a loaded disk; this many missed beats are a death.
MISSED_BEATS = 6


class WorkspaceInUseError(WorkspaceError):
    """Another run is active in the workspace."""


class WorkspaceLock:
    """Held from construction until ``close``, by a lock or else by a lease.

    Args:
        workspace: An existing folder.
        heartbeat: Seconds between two signs of life of a lease.

    Raises:
        WorkspaceInUseError: If another run holds it; names that run.
        OSError: If nothing can be written there.
    """

    def __init__(self, workspace: Path, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._lease: Lease | None = None
        self._file: IO[str] | None = (workspace / LOCK).open("a+", encoding="utf-8")
        try:
            locked = _try_flock(self._file)
            if locked is False:
                raise _in_use(workspace, _read(workspace / LOCK))
            if locked is None:
                self._lease = Lease(workspace, heartbeat)
            self._file.truncate(0)
            json.dump(_owner(), self._file)
            self._file.flush()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others in."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> WorkspaceLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Lease:
    """A file that only one process can have made, with a thread that shows that it lives.

    Args:
        workspace: An existing folder.
        heartbeat: Seconds between two writes.

    Raises:
        WorkspaceInUseError: If the owner of an existing one lives.
    """

    def __init__(self, workspace: Path, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._path = workspace / LEASE
        self._heartbeat = heartbeat
        self._content = {**_owner(), "token": secrets.token_hex(8), "beat": 0}
        while not self._made():
            self._bury(_read(self._path))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="inc-lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, and remove the file if it is still this one."""
        self._ended.set()
        self._thread.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)

    def _made(self) -> bool:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self._content, file)
        return True

    def _bury(self, found: Mapping[str, Any]) -> None:
        """Move the lease of a dead owner out of the way."""
        if _lives(found) or (not _is_dead(found) and self._watched(found) != found):
            if not self._path.exists():
                return  # it ended just now
            raise _in_use(self._path.parent, found)
        grave = self._path.with_suffix(f".{self._content['token']}")
        with contextlib.suppress(FileNotFoundError):  # another one was faster: it has a new lease
            self._path.rename(grave)
            if _read(grave).get("token") != found.get("token"):
                grave.rename(self._path)  # that was the new one: give it back
                raise _in_use(self._path.parent, _read(self._path))
            grave.unlink()

    def _watched(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the lease says after a while; at once if it changes or goes."""
        logger.warning(
            "%s belongs to %s: waiting %g s to see if that run lives",
            self._path, _described(found), self._heartbeat * MISSED_BEATS,
        )  # fmt: skip
        end = time.monotonic() + self._heartbeat * MISSED_BEATS
        now = found
        while now == found and time.monotonic() < end:
            time.sleep(self._heartbeat / 4)
            now = _read(self._path)
        return now

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat):
            self._content["beat"] += 1
            try:
                if not self._is_mine():
                    logger.warning("%s was taken over by another run", self._path)
                    return
                self._path.write_text(json.dumps(self._content), encoding="utf-8")
            except OSError as error:  # a full or lost disk; the next beat may succeed
                logger.debug("%s cannot be written: %s", self._path, error)

    def _is_mine(self) -> bool:
        token = _read(self._path).get("token")
        return token is None or token == self._content["token"]  # None: half written, by us


def _try_flock(file: IO[str]) -> bool | None:
    """Return whether the lock could be taken; ``None`` where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None
    return True


def _owner() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _boot_id(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),  # for the reader; nothing compares it
    }


def _is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether an owner certainly is dead: of this host, but of an earlier boot or without a process."""
    return _is_here(owner) and (owner.get("boot") != _boot_id() or not _exists(owner.get("pid")))


def _lives(owner: Mapping[str, Any]) -> bool:
    return _is_here(owner) and owner.get("boot") == _boot_id() and _exists(owner.get("pid"))


def _is_here(owner: Mapping[str, Any]) -> bool:
    # without a boot id (not Linux) process numbers cannot be told apart after a restart
    return owner.get("host") == socket.gethostname() and bool(_boot_id())


def _exists(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return ""


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it is just being written, or gone
        return {}
    return found if isinstance(found, dict) else {}


def _in_use(workspace: Path, owner: Mapping[str, Any]) -> WorkspaceInUseError:
    return WorkspaceInUseError(
        f"the workspace {str(workspace)!r} is in use by another run ({_described(owner)}). "
        "Wait for it, choose another tuning.workspace.path, or set tuning.workspace.if_busy: sibling."
    )


def _described(owner: Mapping[str, Any]) -> str:
    try:
        return f"pid {owner['pid']} on {owner['host']}, started {owner['started']}"
    except KeyError:
        return "owner unknown"
