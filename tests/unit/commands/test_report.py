from __future__ import annotations

import argparse
import json
import xml.etree.ElementTree as ElementTree

import pytest

from inc_core import Quantization, common
from inc_core.commands import report
from inc_core.errors import UnsupportedModelError, WorkspaceError
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data, toy_plugin


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A saved model, and the workspace of the search that found it."""
    folder = tmp_path_factory.mktemp("search")
    model = make_classifier(culprits=(2,))
    data = make_data(model)
    conf = {"tuning": {"workspace": {"path": str(folder / "workspace")}}}
    quantizer = Quantization(conf, plugins=Plugins.of(toy_plugin))
    quantizer.model = model
    quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
    quantizer.eval_dataloader = common.DataLoader(data, batch_size=64)
    quantizer.metric = ToyAccuracy
    tuned = quantizer.fit()
    tuned.save(folder / "saved")
    return folder / "saved", folder / "workspace", tuned


def run(directory, svg=None):
    return report.run(argparse.Namespace(directory=str(directory), svg=svg and str(svg)))


def test_a_saved_model_is_reported_without_its_framework(folders, monkeypatch):
    saved, _, tuned = folders
    monkeypatch.setattr("inc_core.tuned_model.get_plugins", lambda: pytest.fail("looked for it"))
    assert run(saved).text.startswith(tuned.report())


def test_model_and_workspace_tell_the_same_trials(folders):
    saved, workspace, tuned = folders
    tables = [
        [line for line in run(place).text.splitlines() if line.lstrip(" >*")[:1].isdigit()]
        for place in (saved, workspace)
    ]
    assert len(tables[0]) == len(tables[1]) == len(tuned.result.trials)
    assert [row.split()[1:] for row in tables[0]] == [row.split()[1:] for row in tables[1]]


def test_both_are_drawn_and_show_the_same_winner(folders, tmp_path):
    saved, workspace, tuned = folders
    for number, place in enumerate((saved, workspace)):
        run(place, tmp_path / f"{number}.svg")
        root = ElementTree.parse(tmp_path / f"{number}.svg").getroot()
        chosen = [e.get("data-trial") for e in root.iter() if e.get("class") == "chosen"]
        assert chosen[0] == str(tuned.result.best.number)


def test_everything_is_json(folders):
    saved, workspace, tuned = folders
    content = json.loads(json.dumps(run(saved).content))
    assert len(content["search"]["history"]) == len(tuned.result.trials)
    assert len(json.loads(json.dumps(run(workspace).content))["trials"]) == len(tuned.result.trials)


def test_a_picture_that_cannot_be_written_is_an_error(folders, tmp_path):
    with pytest.raises(WorkspaceError, match=r"cannot be written .*existing folder"):
        run(folders[0], tmp_path / "missing" / "front.svg")


def test_a_truncated_model_is_refused(folders, tmp_path):
    (tmp_path / "inc.json").write_text('{"format": 99}')
    with pytest.raises(UnsupportedModelError, match="its format is 99"):
        run(tmp_path)
