from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from inc_core.tuning import lock
from inc_core.tuning.lock import Lease, WorkspaceInUseError, WorkspaceLock

QUICK = 0.02  # seconds between two beats
PATIENT = 20.0  # of who watches somebody that lives: the first beat ends the wait


@pytest.fixture
def elsewhere(monkeypatch):
    """A context in which this process is on another machine."""

    class Elsewhere:
        def __enter__(self):
            monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")

        def __exit__(self, *_):
            monkeypatch.undo()

    return Elsewhere()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)


def lease_of(tmp_path):
    return json.loads((tmp_path / "lock.lease").read_text())


def test_where_there_are_no_locks_a_lease_keeps_the_second_run_out(tmp_path, no_locks):
    with WorkspaceLock(tmp_path):
        assert lease_of(tmp_path)["pid"] == os.getpid()
        with pytest.raises(
            WorkspaceInUseError, match=rf"in use by another run \(pid {os.getpid()}"
        ):
            WorkspaceLock(tmp_path)
    with WorkspaceLock(tmp_path):
        pass
    assert not (tmp_path / "lock.lease").exists()


def test_a_living_lease_of_another_machine_is_respected(tmp_path, elsewhere):
    with elsewhere:
        first = Lease(tmp_path, QUICK)
    with pytest.raises(WorkspaceInUseError, match=r"pid \d+ on elsewhere, started"):
        Lease(tmp_path, PATIENT / lock.MISSED_BEATS)
    first.close()


def test_a_lease_of_another_machine_that_is_not_written_any_more_is_taken_over(tmp_path):
    owner = {"pid": 1, "host": "elsewhere", "boot": "x", "started": "then", "token": "t", "beat": 7}
    (tmp_path / "lock.lease").write_text(json.dumps(owner))
    lease = Lease(tmp_path, QUICK)
    assert lease_of(tmp_path)["pid"] == os.getpid()
    lease.close()
    assert list(tmp_path.iterdir()) == []


def test_the_lease_of_a_killed_process_is_taken_over_at_once(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from inc_core.tuning.lock import Lease\n"
        "Lease(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env=environment)
    assert lease_of(tmp_path)["pid"] != os.getpid()
    Lease(tmp_path, heartbeat=3600).close()  # it would wait six hours


def test_a_lease_of_an_earlier_boot_is_taken_over_at_once(tmp_path):
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "boot": "earlier", "token": "t"}
    (tmp_path / "lock.lease").write_text(json.dumps(owner))
    Lease(tmp_path, heartbeat=3600).close()


def test_a_lease_that_was_taken_over_is_left_alone(tmp_path):
    lease = Lease(tmp_path, QUICK)
    (tmp_path / "lock.lease").write_text('{"token": "of another"}')
    lease._thread.join(timeout=60)
    assert not lease._thread.is_alive()
    lease.close()
    assert lease_of(tmp_path) == {"token": "of another"}


def test_a_lease_shows_that_it_lives(tmp_path):
    lease = Lease(tmp_path, QUICK)
    end = time.monotonic() + 60
    while lock._read(tmp_path / "lock.lease").get("beat", 0) < 3:
        assert time.monotonic() < end
        time.sleep(QUICK)
    lease.close()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": "many"}'])
def test_a_lease_that_says_nothing_is_taken_over_after_a_while(tmp_path, content):
    (tmp_path / "lock.lease").write_text(content)
    Lease(tmp_path, QUICK).close()
