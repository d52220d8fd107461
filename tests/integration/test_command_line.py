"""The command ``inc`` in fresh processes, with the toy framework as an installed plugin."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from inc_core.testing.toy import make_classifier, save_model

ROOT = Path(__file__).parents[2]

CONF = """\
quantization:
  calibration:
    sampling_size: 64
    dataloader: {batch_size: 16, dataset: {toy_classifier: {}}}
evaluation:
  accuracy:
    metric: {toy_accuracy: {}}
    dataloader: {batch_size: 64, dataset: {toy_classifier: {}}}
tuning:
  exit_policy: {max_trials: 4}
  workspace: {path: workspace}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working folder with a model, a configuration and an installed toy plugin."""
    installed = tmp_path / "site" / "inc_toy-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: inc-toy\nVersion: 1.0\n")
    entry = "[inc_core.v1]\ntoy = inc_core.testing.toy.plugin\n"
    (installed / "entry_points.txt").write_text(entry)
    (tmp_path / "conf.yaml").write_text(CONF)
    for name, culprits in (("model", ()), ("hopeless", range(4))):
        (tmp_path / f"{name}.toy").mkdir()
        save_model(make_classifier(culprits=culprits), tmp_path / f"{name}.toy")
    return tmp_path


def inc(
    folder: Path, *arguments: str, shell: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``inc``, in a line of the shell if one is given: ``$INC`` is the command."""
    paths = os.pathsep.join([str(folder / "site"), str(ROOT)])
    command = [sys.executable, "-m", "inc_core", *arguments]
    environment = {**os.environ, "PYTHONPATH": paths, "INC_PLUGINS": "inc-toy", **variables}
    return subprocess.run(
        ["/bin/sh", "-c", shell] if shell else command,
        cwd=folder,
        env={**environment, "INC": shlex.join(command)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_quantize_saves_what_verify_and_report_read(folder):
    done = inc(folder, "quantize", "conf.yaml", "--model", "model.toy", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "Result: accuracy goal met" in done.stdout
    assert "FP32 baseline is: [Accuracy: 1.0000" in done.stderr
    assert "Tune 1 result is: " in done.stderr
    assert "Stopped because the accuracy goal was met" in done.stderr
    assert "\x1b" not in done.stderr  # no live line where there is no terminal
    verified = inc(folder, "verify", "out", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["bit_equal"] is True
    for place in ("out", "workspace"):
        reported = inc(folder, "report", place, "--svg", f"{place}.svg")
        assert reported.returncode == 0, reported.stderr
        assert "accuracy goal met" in reported.stdout
        assert "Trials (float 1.0000" in reported.stdout
        assert "trial 1: " in (folder / f"{place}.svg").read_text()
    refused = inc(folder, "report", "out", "--svg", "missing/front.svg")
    assert refused.returncode == 5
    assert "cannot be written (No such file or directory)" in refused.stderr


QUANTIZE = ("quantize", "conf.yaml", "--model", "model.toy", "-o", "out")


@pytest.mark.parametrize(
    "where", ["2>&-", "2>/dev/full", "2>&1 | head -1 >/dev/null; test -d out || exit 9"]
)
def test_a_search_does_not_end_with_who_watches_it(folder, where):
    done = inc(folder, *QUANTIZE, shell=f"eval $INC {where}")
    assert done.returncode == 0, done.stderr
    assert inc(folder, "verify", "out").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_standard_output_that_cannot_be_written_is_said(folder):
    done = inc(folder, "plugins", shell="eval $INC >/dev/full")
    assert done.returncode == 5
    assert done.stderr == "inc: standard output cannot be written (No space left on device)\n"


def test_characters_that_a_terminal_lacks_are_escaped(folder):
    assert inc(folder, *QUANTIZE[:-1], "größe").returncode == 0
    done = inc(folder, "verify", "größe", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("gr\\xf6\\xdfe: verified")


def test_a_place_that_cannot_be_written_is_said_before_the_search(folder):
    (folder / "taken").write_text("something else")
    for place, reason in (("taken", "holds no saved model"), ("taken/out", "cannot be written")):
        done = inc(folder, *QUANTIZE[:-1], place)
        assert done.returncode == 5
        assert reason in done.stderr
        assert "baseline" not in done.stderr
    assert (folder / "taken").read_text() == "something else"


# the largest file that the process may write is shorter than what it has to write
SMALL_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("init", "--model", "model.toy", "-o", "new.yaml"), "new.yaml"),
        (("report", "out", "--svg", "new.svg"), "new.svg"),
    ],
)
def test_a_file_is_written_whole_or_not_at_all(folder, arguments, file):
    assert inc(folder, *QUANTIZE).returncode == 0
    before = set(folder.iterdir())
    code = f"{SMALL_FILES} from inc_core.cli import main; raise SystemExit(main({arguments!r}))"
    done = inc(folder, shell=f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    assert done.returncode == 5, done.stderr
    assert f"{file}' cannot be written (File too large)" in done.stderr
    assert set(folder.iterdir()) == before


def test_init_says_what_is_left_to_write_and_where_it_cannot(folder):
    written = inc(folder, "init", "--model", "model.toy", "-o", "new.yaml")
    assert "quantization.calibration.dataloader" in written.stderr
    refused = inc(folder, "init", "--model", "model.toy", "-o", "missing/new.yaml")
    assert refused.returncode == 5
    assert "-o 'missing/new.yaml' cannot be written (No such file" in refused.stderr


def test_a_saved_model_is_exported_in_the_format_of_the_suffix(folder):
    inc(folder, "quantize", "conf.yaml", "--model", "model.toy", "-o", "out")
    done = inc(folder, "export", "out", "model.npz")
    assert done.returncode == 0, done.stderr
    assert (folder / "model.npz").exists()
    refused = inc(folder, "export", "out", "model.bin")
    assert refused.returncode == 2
    assert "Name one of its formats: npz (the arrays of all nodes)" in refused.stderr


def test_quantize_prints_one_json_object(folder):
    done = inc(folder, "quantize", "conf.yaml", "--model", "model.toy", "-o", "out", "--json")
    assert json.loads(done.stdout)["goal_met"] is True


def test_a_goal_that_is_not_met_has_its_own_exit_code(folder):
    done = inc(folder, "quantize", "conf.yaml", "--model", "hopeless.toy", "-o", "out")
    assert done.returncode == 6
    assert "no recipe met the accuracy goal" in done.stderr
    assert not (folder / "out").exists()


def test_a_wrong_configuration_names_key_and_line(folder):
    (folder / "conf.yaml").write_text(CONF.replace("max_trials", "max_trails"))
    done = inc(folder, "check", "conf.yaml", "--model", "model.toy")
    assert done.returncode == 2
    assert "line 10: tuning.exit_policy.max_trails" in done.stderr
    assert "max_trials" in done.stderr.split("max_trails", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("check", "missing.yaml", "--model", "model.toy"), 2, "missing.yaml"),
        (("check", "conf.yaml", "--model", "missing.toy"), 4, "missing.toy"),
        (("check", "conf.yaml", "--model", "unknown.bin"), 4, "framework"),
        (("report", "."), 5, "no run here"),
        (("verify", "model.toy"), 4, "inc.json"),
    ],
    ids=["configuration", "model", "kind of model", "run", "saved model"],
)
def test_what_is_missing_is_named(folder, arguments, code, message):
    done = inc(folder, *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr


def test_a_component_that_is_not_installed_is_offered(folder):
    (folder / "conf.yaml").write_text(CONF.replace("toy_accuracy: {}", "topk: 1"))
    done = inc(folder, "check", "conf.yaml", "--model", "model.toy")
    assert done.returncode == 3
    assert "inc-metrics offers it" in done.stderr


def test_check_writes_nothing(folder):
    before = sorted(folder.rglob("*"))
    done = inc(folder, "check", "conf.yaml", "--model", "model.toy")
    assert done.returncode == 0, done.stderr
    assert "quantizable   4 Linear" in done.stdout
    assert "estimate      one trial" in done.stdout
    assert sorted(folder.rglob("*")) == before


def test_init_writes_a_configuration_that_loads_and_overwrites_nothing(folder):
    written = inc(folder, "init", "--model", "model.toy", "-o", "new.yaml")
    assert written.returncode == 0, written.stderr
    again = inc(folder, "init", "--model", "model.toy", "-o", "new.yaml")
    assert again.returncode == 5
    assert "nothing was written" in again.stderr
    done = inc(folder, "check", "new.yaml", "--model", "model.toy")
    assert done.returncode == 2  # only the data is missing
    assert "needs calibration data" in done.stderr


def test_plugins_are_listed(folder):
    done = inc(folder, "plugins", "--json")
    rows = json.loads(done.stdout)["plugins"]
    assert "inc-toy" in {row["distribution"] for row in rows}


def test_every_command_explains_itself(folder):
    for command in ("quantize", "check", "init", "plugins", "verify", "export", "report", "cache"):
        assert inc(folder, command, "--help").returncode == 0
