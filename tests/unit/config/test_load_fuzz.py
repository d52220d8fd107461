from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from inc_core.config.dump import config_to_dict
from inc_core.config.load import load_config
from inc_core.config.schema import schema
from inc_core.config.types import Config
from inc_core.errors import ConfigError

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200),
    st.floats(),
    st.sampled_from(["1%", "a, b", "50, 100", "static", "int8", "conv[", "(1, 2)", ""]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def documents(rules):
    """Mappings in the shape of the schema, with anything where values belong."""
    return st.fixed_dictionaries(
        {}, optional={name: value_of(rule) for name, rule in rules.items()}
    )


def value_of(rule):
    if rule.get("type") == "list":
        return st.lists(value_of(rule["schema"]), max_size=2) | LEAVES
    if "schema" in rule:
        return documents(rule["schema"]) | LEAVES
    if "valuesrules" in rule:
        return st.dictionaries(st.text(max_size=3), value_of(rule["valuesrules"]), max_size=2)
    return ANYTHING


@settings(max_examples=60)
@given(documents(schema()))
def test_any_mapping_loads_or_raises_a_config_error_and_stays_as_it_was(conf):
    before = copy.deepcopy(conf)
    try:
        config = load_config(conf)
    except ConfigError as error:
        assert error.problems
    else:
        assert isinstance(config, Config)
        assert load_config(config_to_dict(config)) == config
    assert repr(conf) == repr(before)
