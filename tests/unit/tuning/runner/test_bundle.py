"""Files by content: from a path where it is readable, else as bytes; never anything else."""

from __future__ import annotations

import pytest

from inc_core.errors import DataError
from inc_core.tuning.runner import bundle
from inc_core.tuning.runner.bundle import UNFINISHED, Bundle, Store


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "job"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights").write_bytes(bytes(range(256)) * 40)
    (folder / "empty").touch()
    return Bundle(folder)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "worker" / "files")


def elsewhere(entries):
    return [entry._replace(path=f"/nowhere/{entry.name}") for entry in entries]


def laid_out(store, entries, folder):
    store.lay_out(entries, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)}


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def content(job):
    return {entry.name: (job.folder / entry.name).read_bytes() for entry in job.entries()}


def send(job, store, entries, damage=lambda chunk: chunk):
    for entry in entries:
        for number, chunk in enumerate(job.chunks(entry)):
            store.put(entry, damage(chunk), first=number == 0)


def test_readable_paths_are_taken(job, store, tmp_path):
    assert store.missing(job.entries()) == []
    assert laid_out(store, job.entries(), tmp_path / "run") == content(job)


def test_a_path_with_another_content_is_not(job, store, tmp_path):
    (tmp_path / "other").write_bytes(b"x" * (256 * 40))
    entries = [entry._replace(path=str(tmp_path / "other")) for entry in job.entries()]
    assert store.missing(entries) == entries


def test_what_is_not_readable_arrives_in_chunks(job, store, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "CHUNK_BYTES", 1000)
    entries = elsewhere(job.entries())
    missing = store.missing(entries)
    assert missing == entries
    send(job, store, missing)
    assert store.missing(entries) == []
    assert laid_out(store, entries, tmp_path / "run") == content(job)


def test_damage_on_the_way_is_noticed_and_nothing_is_kept(job, store):
    entries = elsewhere(job.entries())
    with pytest.raises(DataError, match="model/weights arrived with another content"):
        send(job, store, entries, lambda chunk: chunk[::-1])
    weights = [entry for entry in entries if entry.size]
    assert store.missing(weights) == weights


def test_a_transfer_that_starts_again_starts_afresh(job, store):
    (entry,) = elsewhere(entry for entry in job.entries() if entry.size)
    store.put(entry, b"half of it", first=True)
    send(job, store, [entry])
    assert store.missing([entry]) == []


def test_files_that_come_later_are_found_and_old_ones_hashed_once(job, monkeypatch):
    before = job.entries()
    (job.folder / "late").write_bytes(b"late")
    hashed = []
    digest = bundle.file_digest
    monkeypatch.setattr(
        bundle, "file_digest", lambda path: hashed.append(path.name) or digest(path)
    )
    assert {entry.name for entry in job.entries()} - {entry.name for entry in before} == {"late"}
    assert hashed == ["late"]


def test_what_was_used_longest_ago_is_removed_where_there_is_too_much(job, store, monkeypatch):
    store.missing(job.entries())
    monkeypatch.setattr(bundle, "STORE_BYTES", 100)
    store.prune()
    assert sum(path.stat().st_size for path in files(store.folder)) <= 100


def test_a_file_that_is_being_written_is_none_yet(job):
    before = job.entries()
    (job.folder / f"{UNFINISHED}calibration").write_bytes(b"half")
    assert job.entries() == before
