from __future__ import annotations

import json

from inc_core.tuning.trial_run import describe_error


def described(function):
    try:
        function()
    except (KeyError, ValueError) as error:
        return describe_error(error)
    raise AssertionError("nothing was raised")


def test_the_place_is_where_it_was_raised():
    assert described(lambda: {}["a"]).startswith("KeyError: 'a' [at test_describe_error.py:")


def test_in_installed_code_the_users_own_line_follows():
    text = described(lambda: json.loads("{"))
    place = text.partition(" [at ")[2]
    assert place.startswith("decoder.py:")
    assert ", called at test_describe_error.py:" in place
    assert place.endswith("in <lambda>]")


def test_what_was_never_raised_has_no_place():
    assert describe_error(ValueError("two\n  lines")) == "ValueError: two lines"
