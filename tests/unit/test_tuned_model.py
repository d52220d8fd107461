from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inc_core import Quantization, common, load
from inc_core.errors import ConfigError, UnsupportedModelError, VerificationError, WorkspaceError
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data, toy_plugin
from inc_core.tuned_model import TunedModel, verify

PLUGINS = Plugins.of(toy_plugin)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> TunedModel:
    workspace = str(tmp_path_factory.mktemp("workspace"))
    model = make_classifier()
    data = make_data(model)
    quantizer = Quantization({"tuning": {"workspace": {"path": workspace}}}, plugins=PLUGINS)
    quantizer.model = model
    quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
    quantizer.eval_dataloader = common.DataLoader(data, batch_size=64)
    quantizer.metric = ToyAccuracy
    return quantizer.fit()


@pytest.fixture
def saved(tuned: TunedModel, tmp_path: Path) -> Path:
    return tuned.save(tmp_path / "saved")


def test_a_restored_model_is_the_saved_one(tuned, saved):
    restored = load(saved, plugins=PLUGINS)
    inputs = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    np.testing.assert_array_equal(restored.predict(inputs), tuned.predict(inputs))
    assert restored.recipe == tuned.recipe
    assert restored.ledger == tuned.ledger
    assert restored.goal_met
    assert restored.report() == tuned.report()
    assert restored.qparams.keys() == tuned.qparams.keys()


def test_the_directory_tells_versions_machine_and_measurements(saved):
    manifest = json.loads((saved / "inc.json").read_text())
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["machine"]["processor"]
    assert manifest["latency"]["rounds"] > 0
    assert manifest["accuracy"]["final"] == 1.0


def test_what_is_printed_is_one_line(tuned):
    assert "\n" not in repr(tuned) and len(repr(tuned)) < 200
    assert "goal met" in repr(tuned)
    assert "accuracy not evaluated" in repr(replace(tuned, facts={"evaluated": False}))


def test_verification_compares_integers_and_outputs(saved):
    found = verify(saved, plugins=PLUGINS)
    assert found.bit_equal
    assert found.integer_weights == 4
    assert found.samples == 8


@pytest.mark.parametrize("name", ["weights.npz", "recipe.json", "qparams.npz", "check.npz"])
def test_a_truncated_file_is_refused(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UnsupportedModelError, match=f"{name} is not the file that was saved"):
        load(saved, plugins=PLUGINS)


def test_a_missing_file_is_named(saved):
    (saved / "recipe.json").unlink()
    with pytest.raises(UnsupportedModelError, match=r"recipe\.json is missing"):
        load(saved, plugins=PLUGINS)


def test_a_changed_integer_weight_is_found_even_with_right_file_digests(saved):
    manifest = json.loads((saved / "inc.json").read_text())
    name = next(iter(manifest["integer_weights"]))
    manifest["integer_weights"][name] = "0" * 64
    (saved / "inc.json").write_text(json.dumps(manifest))
    with pytest.raises(VerificationError, match=f"integer weight '{name}'"):
        verify(saved, plugins=PLUGINS)


def test_a_directory_with_something_else_is_never_replaced(tuned, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(WorkspaceError, match="holds no saved model"):
        tuned.save(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_saving_again_replaces_a_saved_model(tuned, saved):
    tuned.save(saved)
    assert verify(saved, plugins=PLUGINS).bit_equal
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_a_folder_without_manifest_is_no_saved_model(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"inc\.json: cannot be read"):
        load(tmp_path, plugins=PLUGINS)


def test_a_newer_format_is_refused_with_the_version_that_wrote_it(saved):
    manifest = json.loads((saved / "inc.json").read_text())
    manifest["format"] = 99
    (saved / "inc.json").write_text(json.dumps(manifest))
    with pytest.raises(UnsupportedModelError, match="its format is 99"):
        load(saved, plugins=PLUGINS)


@pytest.mark.parametrize(("name", "format"), [("model.npz", None), ("model.bin", "npz")])
def test_it_is_exported_in_the_format_named_or_else_of_the_suffix(tuned, tmp_path, name, format):
    tuned.export(tmp_path / name, format)
    assert any(tmp_path.iterdir())


def test_an_unknown_format_names_those_that_there_are(tuned, tmp_path):
    with pytest.raises(ConfigError, match=r"as 'npy'. Did you mean 'npz'\? Name one of .*: npz \("):
        tuned.export(tmp_path / "model.npy")


def test_a_plugin_without_formats_says_so(tuned, tmp_path):
    class Plain:
        context = tuned.adaptor.context

    plain = replace(tuned, adaptor=Plain())
    with pytest.raises(ConfigError, match="Its plugin has no formats"):
        plain.export(tmp_path / "model.npz")
