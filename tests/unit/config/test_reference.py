"""docs/configuration.md is made from the schema; this keeps it so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from inc_core.config.schema import schema

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location(
        "make_configuration", DOCS / "make_configuration.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaf_names(rules):
    for name, rule in rules.items():
        yield name
        if rule.get("type") == "list":
            rule = rule["schema"]
        yield from leaf_names(rule.get("schema", rule.get("valuesrules", {}).get("schema", {})))


def test_the_reference_is_up_to_date(maker):
    stored = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert maker.render() == stored, "run python docs/make_configuration.py"


def test_the_reference_mentions_every_key(maker):
    text = maker.render()
    missing = {name for name in leaf_names(schema()) if name not in text}
    assert not missing
