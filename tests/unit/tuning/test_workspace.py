from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from inc_core.errors import EvaluationError, WorkspaceError
from inc_core.tuning.journal import Journal, Record, encode, read_journal
from inc_core.tuning.workspace import find_run, open_run, record_facts, runs_of

PROBLEM = {"model": "abc", "tuning.strategy.name": "'basic'"}


def run(workspace, *, stop="goal_met", notes=1, problem=PROBLEM, error=None, **options):
    """Take up or start a run, write some records, end it; return the run's name and its notes."""
    with open_run(workspace, problem, seed=1, **options) as journal:
        for _ in range(notes):
            journal.append("note")
        if stop:
            journal.append("stopped", reason=stop, message="")
        name = None if journal.path is None else journal.path.parent.name
        if error is not None:
            raise error
        return name, len(list(journal.of("note")))


def test_the_header_says_what_the_run_depends_on(tmp_path):
    run(tmp_path, versions={"toy": "1"})
    header = read_journal(tmp_path / "run-0001" / "journal.jsonl")[0]
    assert header.type == "header"
    assert header.fields["fingerprint"] == PROBLEM
    assert header.fields["seed"] == 1
    assert header.fields["versions"] == {"toy": "1"}


def test_a_finished_run_is_kept_and_a_new_one_starts_beside_it(tmp_path):
    assert run(tmp_path) == ("run-0001", 1)
    assert run(tmp_path) == ("run-0002", 1)
    assert [path.name for path in runs_of(tmp_path)] == ["run-0001", "run-0002"]


@pytest.mark.parametrize("stop", [None, "interrupted"])
def test_an_unfinished_run_of_the_same_problem_is_taken_up(tmp_path, stop):
    assert run(tmp_path, stop=stop) == ("run-0001", 1)
    assert run(tmp_path) == ("run-0001", 2)
    assert run(tmp_path) == ("run-0002", 1)


def test_an_unfinished_run_of_another_problem_is_left_alone(tmp_path):
    run(tmp_path, stop=None)
    assert run(tmp_path, problem={**PROBLEM, "model": "xyz"}) == ("run-0002", 1)
    assert run(tmp_path) == ("run-0001", 2)


def test_another_seed_is_another_problem(tmp_path):
    run(tmp_path, stop=None)
    with open_run(tmp_path, PROBLEM, seed=2) as journal:
        assert journal.path.parent.name == "run-0002"


def test_a_search_that_ended_in_an_error_of_ours_is_finished(tmp_path):
    with pytest.raises(EvaluationError):
        run(tmp_path, stop="failures", error=EvaluationError("all fail"))
    assert run(tmp_path)[0] == "run-0002"


def test_a_search_that_broke_before_its_end_is_taken_up(tmp_path):
    with pytest.raises(RuntimeError):
        run(tmp_path, stop=None, error=RuntimeError("power"))
    assert run(tmp_path)[0] == "run-0001"


@pytest.mark.parametrize("name", ["run-0001", "1", "path"])
def test_resume_takes_up_a_finished_run_by_name(tmp_path, name):
    run(tmp_path)
    run(tmp_path)
    resume = str(tmp_path / "run-0001") if name == "path" else name
    assert run(tmp_path, resume=resume) == ("run-0001", 2)


def test_resume_by_path_may_name_a_run_of_another_workspace(tmp_path):
    run(tmp_path / "here")
    assert run(tmp_path / "there", resume=str(tmp_path / "here" / "run-0001"))[1] == 2
    assert not (tmp_path / "there").exists()


def test_resume_of_another_problem_names_what_differs(tmp_path):
    run(tmp_path)
    with pytest.raises(
        WorkspaceError,
        match="run-0001 cannot be resumed, it was another problem: model was 'abc', is 'xyz'",
    ):
        run(tmp_path, problem={**PROBLEM, "model": "xyz"}, resume="run-0001")


def test_resume_of_an_unknown_run_names_the_runs(tmp_path):
    run(tmp_path)
    with pytest.raises(WorkspaceError, match=r"no run 'run-001' in .* Did you mean 'run-0001'"):
        run(tmp_path, resume="run-001")


def test_a_second_run_in_an_active_workspace_is_refused_and_told_who_is_there(tmp_path):
    with (
        open_run(tmp_path, PROBLEM, seed=1),
        pytest.raises(WorkspaceError, match=rf"in use by another run \(pid {os.getpid()} on .*sta"),
    ):
        run(tmp_path)
    assert run(tmp_path)


def test_on_request_the_second_run_works_beside_the_first(tmp_path, caplog):
    workspace = tmp_path / "workspace"
    with (
        open_run(workspace, PROBLEM, seed=1),
        open_run(workspace, PROBLEM, seed=1, if_busy="sibling") as second,
    ):
        assert second.path == tmp_path / "workspace-2" / "run-0001" / "journal.jsonl"
        with open_run(workspace, PROBLEM, seed=1, if_busy="sibling") as third:
            assert third.path.parent.parent.name == "workspace-3"
    assert "this run is in" in caplog.text
    with open_run(workspace, PROBLEM, seed=1, if_busy="sibling") as alone:
        assert alone.path.parent.parent == workspace


def test_a_run_to_resume_has_no_sibling(tmp_path):
    run(tmp_path)
    with open_run(tmp_path, PROBLEM, seed=1), pytest.raises(WorkspaceError, match="in use by"):
        run(tmp_path, resume="1", if_busy="sibling")


def test_a_killed_process_leaves_no_lock(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from inc_core.tuning.workspace import open_run\n"
        f"with open_run(sys.argv[1], {PROBLEM!r}, seed=1) as journal:\n"
        "    journal.append('note')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env=environment)
    assert (tmp_path / "run-0001" / "journal.ballast").exists()  # it really was killed
    # the note was not yet of a kind that must survive a power cut, but a kill it does survive
    assert run(tmp_path) == ("run-0001", 2)


def test_a_file_in_place_of_the_workspace_is_an_error(tmp_path):
    (tmp_path / "taken").write_text("mine")
    for path in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(WorkspaceError, match="a file is in its place"):
            run(path)


@pytest.fixture
def read_only(tmp_path):
    """A folder in which this process cannot write, even if it belongs to root."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    folder.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder / "workspace"
    if user == 0:
        os.seteuid(0)


def test_a_read_only_workspace_keeps_the_history_in_memory_and_says_so(read_only, caplog):
    with open_run(read_only, PROBLEM, seed=1) as journal:
        journal.append("note")
        assert not journal.complete
    assert "the search goes on in memory" in caplog.text
    assert "cannot be resumed" in caplog.text


def test_a_journal_of_which_nothing_can_be_made_is_renamed_and_a_fresh_run_begins(tmp_path, caplog):
    run(tmp_path, stop=None)
    path = tmp_path / "run-0001" / "journal.jsonl"
    content = b"x" + path.read_bytes()
    path.write_bytes(content)
    assert run(tmp_path)[0] == "run-0002"
    assert (tmp_path / "run-0001" / "journal.damaged").read_bytes() == content
    assert "holds no run that could be resumed; it is kept as journal.damaged" in caplog.text
    caplog.clear()
    assert run(tmp_path)[0] == "run-0003"
    assert caplog.text == ""


def test_a_journal_of_another_format_is_another_problem(tmp_path):
    run(tmp_path, stop=None)
    path = tmp_path / "run-0001" / "journal.jsonl"
    header, *others = read_journal(path)
    old = Record("header", {k: v for k, v in header.fields.items() if k != "format"})
    path.write_bytes(b"".join(map(encode, [old, *others])))
    with pytest.raises(WorkspaceError, match="format of the journal was '1', is '2'"):
        run(tmp_path, resume="run-0001")
    assert run(tmp_path)[0] == "run-0002"


def test_another_version_is_another_problem_and_named(tmp_path):
    run(tmp_path, stop=None, problem={**PROBLEM, "version of toy": "1.0"})
    with pytest.raises(WorkspaceError, match=r"version of toy was '1.0', is '1.1'"):
        run(tmp_path, resume="1", problem={**PROBLEM, "version of toy": "1.1"})


def test_a_run_killed_before_its_header_is_no_obstacle(tmp_path):
    (tmp_path / "run-0001").mkdir(parents=True)
    (tmp_path / "run-0001" / "journal.jsonl").touch()
    assert run(tmp_path)[0] == "run-0002"


def test_find_run_takes_a_run_a_journal_or_a_workspace(tmp_path):
    run(tmp_path)
    run(tmp_path)
    newest = tmp_path / "run-0002"
    assert find_run(tmp_path) == find_run(newest) == find_run(newest / "journal.jsonl") == newest


def test_find_run_says_if_there_is_none(tmp_path):
    with pytest.raises(WorkspaceError, match="no run here"):
        find_run(tmp_path)


def test_facts_can_be_added_after_the_search(tmp_path):
    with open_run(tmp_path, PROBLEM, seed=1) as journal:
        pass
    record_facts(journal, {"goal_met": True})
    record = read_journal(journal.path)[-1]
    assert record.fields == {"what": "facts", "value": {"goal_met": True}}


def test_facts_of_a_run_in_memory_go_nowhere():
    record_facts(Journal(), {"goal_met": True})


def test_the_owner_record_is_json(tmp_path):
    run(tmp_path)
    assert set(json.loads((tmp_path / "lock").read_text())) == {"pid", "host", "boot", "started"}
