from __future__ import annotations

import logging
import os
import time

import pytest

from inc_core.tuning.journal import BALLAST_BYTES, Journal, Record, encode, read_journal, scan


def filled(path, count=5):
    with Journal(path) as journal:
        for number in range(count):
            journal.append("finished", number=number, text="ä" * number)
    return path.read_bytes()


def numbers(records):
    return [record.fields["number"] for record in records]


def test_records_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "journal.jsonl"
    filled(path)
    assert read_journal(path)[2] == Record("finished", {"number": 2, "text": "ää"})


def test_a_record_is_checksum_length_and_json():
    assert encode(Record("note", {"n": 1})) == b'15e929a2 21 {"type":"note","n":1}\n'


def test_a_reopened_journal_goes_on(tmp_path):
    path = tmp_path / "journal.jsonl"
    filled(path)
    with Journal(path) as journal:
        journal.append("note", number=5)
        assert numbers(journal.records) == [0, 1, 2, 3, 4, 5]
    assert numbers(read_journal(path)) == [0, 1, 2, 3, 4, 5]


def test_cut_at_any_byte_every_whole_record_before_is_kept(tmp_path):
    path = tmp_path / "journal.jsonl"
    content = filled(path)
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        with Journal(path) as journal:
            whole = content[:size].count(b"\n")
            assert numbers(journal.records) == list(range(whole))
            journal.append("note", number=99)
        assert numbers(read_journal(path)) == [*range(whole), 99]


def test_a_torn_tail_is_kept_aside(tmp_path):
    path = tmp_path / "journal.jsonl"
    content = filled(path)
    path.write_bytes(content[:-3])
    Journal(path).close()
    assert content.endswith((tmp_path / "journal.torn").read_bytes() + content[-3:])


def test_a_bad_record_in_the_middle_costs_only_itself(tmp_path, caplog):
    path = tmp_path / "journal.jsonl"
    content = bytearray(filled(path))
    second = content.index(b"\n") + 1
    content[second + 20] ^= 1
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # reported once
            with Journal(path) as journal:
                assert numbers(journal.records) == [0, 2, 3, 4]
    assert [record.message for record in caplog.records] == [
        f"{path}: 1 unreadable record(s) were put aside in journal.quarantine; "
        "their trials run again"
    ]
    assert (tmp_path / "journal.quarantine").read_bytes().count(b"\n") == 1


def test_any_flipped_byte_is_noticed():
    content = b"".join(encode(Record("finished", {"number": n})) for n in range(3))
    for position in range(len(content)):
        broken = bytearray(content)
        broken[position] ^= 0x10
        assert set(numbers(scan(bytes(broken)).records)) < {0, 1, 2}


@pytest.mark.parametrize("content", [b"\x00" * 100, b"\n\n\n", b"{}\n", b"0 0 \n", b"\xff\n" * 9])
def test_garbage_holds_no_records(content):
    assert scan(content).records == ()


def test_nan_never_enters_a_journal():
    with pytest.raises(ValueError, match="Out of range float values"):
        Journal().append("finished", accuracy=float("nan"))


def test_without_a_path_it_lives_in_memory():
    journal = Journal()
    journal.append("note", number=1)
    assert numbers(journal.records) == [1]
    assert journal.complete


def test_on_a_full_disk_it_goes_on_in_memory_and_says_so(tmp_path, caplog, disk_of):
    path = tmp_path / "journal.jsonl"
    with caplog.at_level(logging.WARNING), disk_of(100), Journal(path) as journal:
        for number in range(5):
            journal.append("finished", number=number)
    assert numbers(journal.records) == [0, 1, 2, 3, 4]
    assert not journal.complete
    assert len(caplog.records) == 1
    assert "File too large" in caplog.text
    assert "history will be incomplete" in caplog.text
    assert numbers(read_journal(path)) == [0, 1]  # and no torn record


def test_on_a_filling_disk_the_ballast_makes_room_for_the_last_records(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    ballast = tmp_path / "journal.ballast"
    assert ballast.stat().st_size == BALLAST_BYTES
    write = os.write

    def write_if_room(fd, data):
        if ballast.exists():
            write(fd, data[:5])  # a filling disk takes a part
            raise OSError(28, "No space left on device")
        return write(fd, data)

    journal.append("finished", number=0)
    monkeypatch.setattr(os, "write", write_if_room)
    journal.append("finished", number=1)
    journal.append("closed", number=2)
    journal.close()
    assert numbers(read_journal(path)) == [0, 1, 2]


def test_closing_removes_the_ballast(tmp_path):
    filled(tmp_path / "journal.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl"]


def test_what_finished_is_on_the_disk_before_anything_else_happens(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        "inc_core.tuning.journal._sync",
        lambda fd: synced.append(len(read_journal(tmp_path / "journal.jsonl"))),
    )
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append("finished", number=1)
        assert synced[-1] == 1


def test_ten_thousand_records_are_read_in_less_than_a_second(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(
        b"".join(encode(Record("finished", {"n": n, "ops": "x" * 2000})) for n in range(10_000))
    )
    start = time.process_time()
    assert len(read_journal(path)) == 10_000
    assert time.process_time() - start < 1.0
