"""Everybody is asked whose model it is; the one highest confidence wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from inc_core import hookimpl
from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import Guess
from inc_core.plugin.discover import Candidate
from inc_core.plugin.registry import Plugins


class Hooks:
    """A plugin object that implements what it is given."""

    def __init__(self, **hooks):
        vars(self).update(hooks)


def guesses(answer):
    @hookimpl(specname="inc_guess_framework")
    def guess(source):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Hooks(guess=guess)


LOW = guesses(Guess("low", 0.4, "the suffix is common"))
HIGH = guesses(Guess("high", 0.9, "the magic bytes fit"))
ZERO = guesses(Guess("zero", 0.0, "never seen"))
SILENT = guesses(None)


@pytest.mark.parametrize("plugins", [(LOW, HIGH, SILENT), (HIGH, LOW, ZERO)])
def test_highest_confidence_wins_in_any_order(plugins):
    assert Plugins.of(*plugins).guess_framework("m.x").framework == "high"


def test_tie_prints_every_reason():
    also = guesses(Guess("also", 0.9, "so it says"))
    with pytest.raises(UnsupportedModelError, match="2 plugins are equally sure") as caught:
        Plugins.of(HIGH, also=also).guess_framework(Path("m.x"))
    assert "'m.x'" in str(caught.value)
    assert "high with confidence 0.9: the magic bytes fit" in str(caught.value)
    assert "'also': also with confidence 0.9: so it says" in str(caught.value)
    assert "model.framework" in str(caught.value)


def test_no_opinion_is_an_error_with_an_install_hint():
    with pytest.raises(UnsupportedModelError, match="no installed plugin knows") as caught:
        Plugins.of(SILENT).guess_framework("model.onnx")
    assert str(caught.value).endswith("pip install inc-onnx")


def test_an_installed_plugin_is_not_offered_for_installation():
    plugins = Plugins.load([Candidate("onnx", "inc-onnx", "1", lambda: SILENT)])
    with pytest.raises(UnsupportedModelError, match="inc-onnx is installed, but takes models in"):
        plugins.guess_framework("model.onnx")


def test_object_is_described_by_its_class():
    with pytest.raises(UnsupportedModelError, match=r"an object of builtins\.dict"):
        Plugins.of().guess_framework({})


def test_confidence_of_zero_is_no_opinion():
    with pytest.raises(UnsupportedModelError, match="never seen"):
        Plugins.of(ZERO).guess_framework("m.x")


def test_exception_in_one_guess_becomes_its_reason():
    crash = guesses(RuntimeError("cannot read"))
    assert Plugins.of(crash, HIGH).guess_framework("m.x").framework == "high"
    with pytest.raises(UnsupportedModelError, match="failed: RuntimeError: cannot read"):
        Plugins.of(crash).guess_framework("m.x")


@pytest.mark.parametrize("answer", ["onnx", Guess("x", 1.5, "")])
def test_answer_against_the_contract_becomes_its_reason(answer):
    with pytest.raises(UnsupportedModelError, match="broke the contract"):
        Plugins.of(guesses(answer)).guess_framework("m.x")


def test_broken_plugins_are_mentioned():
    def load():
        raise ImportError("gone")

    plugins = Plugins.load([Candidate("bad", "inc-bad", "1", load)])
    with pytest.raises(UnsupportedModelError, match=r"'bad' \(inc-bad 1\) is broken .*gone"):
        plugins.guess_framework("m.x")
