"""The toy plugin's hooks: it knows its own models, and only those."""

from __future__ import annotations

import importlib

import pytest

from inc_core.testing.toy import make_model, save_model, toy_plugin


def test_model_object_is_certain():
    assert toy_plugin.inc_guess_framework(make_model()).confidence == 1.0


def test_directory_with_a_model_is_known(tmp_path):
    save_model(make_model(), tmp_path)
    assert toy_plugin.inc_guess_framework(str(tmp_path)).reason == "there is a model.json"


def test_suffix_is_known_before_the_file_exists(tmp_path):
    assert toy_plugin.inc_guess_framework(tmp_path / "net.toy").framework == "toy"


@pytest.mark.parametrize("source", ["net.pb", object(), None, b"bytes"])
def test_other_models_are_nobodys(source):
    assert toy_plugin.inc_guess_framework(source) is None


@pytest.mark.parametrize("hook", ["inc_adaptors", "inc_datasets", "inc_metrics"])
def test_everything_offered_can_be_imported(hook):
    for reference in getattr(toy_plugin, hook)().values():
        module, _, name = reference.partition(":")
        assert getattr(importlib.import_module(module), name).__name__ == name
