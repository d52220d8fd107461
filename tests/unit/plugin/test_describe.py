"""What ``inc plugins`` shows."""

from __future__ import annotations

import json

from inc_core.plugin.describe import describe, render
from inc_core.plugin.record import PluginRecord

RECORDS = (
    PluginRecord("off", "inc-off", "3", "disabled", "INC_PLUGINS does not name it"),
    PluginRecord("bad", "inc-bad", "2", "import", "ImportError: libgone.so"),
    PluginRecord("good", "inc-good", "1", offers={"strategy": ("a", "b"), "metric": ("c",)}),
    PluginRecord("listener"),
)


def test_text_shows_each_plugin_its_offers_and_its_fault():
    assert render(RECORDS).splitlines() == [
        "good  (inc-good 1)",
        "    strategies: a, b",
        "    metrics: c",
        "listener",
        "    offers no components",
        "bad  (inc-bad 2)  BROKEN at import",
        "    ImportError: libgone.so",
        "off  (inc-off 3)  DISABLED",
        "    INC_PLUGINS does not name it",
    ]


def test_rows_survive_json():
    rows = json.loads(json.dumps(describe(RECORDS)))
    assert rows[1]["stage"] == "import"
    assert rows[2]["offers"] == {"strategy": ["a", "b"], "metric": ["c"]}
