"""The checks that ``AdaptorSuite`` is made of, by the method that they prove."""

from __future__ import annotations

import pytest

# the checks live outside of test files: without this a failed assert shows no values
for _name in (
    "abilities",
    "loading",
    "measuring",
    "observing",
    "offering",
    "predicting",
    "quantizing",
):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")
