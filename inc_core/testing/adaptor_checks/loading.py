"""Checks of loading and saving."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import assert_same_bits, open_float
from inc_core.testing.fresh_process import predict_in_fresh_process

__all__ = ["LoadingChecks"]


class LoadingChecks(AdaptorFixtures):
    """Models load, fail to load, and survive saving."""

    def test_missing_model_is_an_unsupported_model_error(
        self, adaptor: Adaptor, tmp_path: Path
    ) -> None:
        with pytest.raises(UnsupportedModelError, match="absent"):
            adaptor.load(str(tmp_path / "absent"))

    def test_foreign_object_is_an_unsupported_model_error(self, adaptor: Adaptor) -> None:
        with pytest.raises(UnsupportedModelError, match="object"):
            adaptor.load(object())

    def test_garbage_file_is_an_unsupported_model_error(
        self, adaptor: Adaptor, source: Any, tmp_path: Path
    ) -> None:
        suffix = Path(source).suffix if isinstance(source, (str, Path)) else ""
        garbage = tmp_path / f"garbage{suffix}"
        garbage.write_bytes(b"\x07 this is no model \xff" * 9)
        with pytest.raises(UnsupportedModelError, match="garbage"):
            adaptor.load(garbage)

    def test_truncated_artefact_is_an_unsupported_model_error(
        self, adaptor: Adaptor, model: Any, tmp_path: Path
    ) -> None:
        adaptor.save(model, tmp_path)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UnsupportedModelError):
            adaptor.restore(tmp_path)

    def test_two_loads_have_one_digest(
        self, adaptor: Adaptor, model: Any, source: Any, batches: Sequence[Batch]
    ) -> None:
        again = open_float(adaptor, source, batches[0])
        assert adaptor.digest(again) == adaptor.digest(model)

    def test_versions_are_words(self, adaptor: Adaptor) -> None:
        assert all(type(value) is str and value for value in adaptor.versions().values())

    @pytest.mark.parametrize("kind", ["float", "quantized"])
    def test_restored_model_gives_the_same_bits_in_a_fresh_process(
        self,
        adaptor: Adaptor,
        model: Any,
        quantized: Any,
        batches: Sequence[Batch],
        tmp_path: Path,
        kind: str,
    ) -> None:
        saved = model if kind == "float" else quantized
        adaptor.save(saved, tmp_path)
        fresh = predict_in_fresh_process(adaptor, tmp_path, dict(batches[0]))
        assert_same_bits(fresh, adaptor.predict(saved, batches[0]))

    def test_restored_model_has_the_digest_of_the_saved_one(
        self, adaptor: Adaptor, quantized: Any, tmp_path: Path
    ) -> None:
        adaptor.save(quantized, tmp_path)
        assert adaptor.digest(adaptor.restore(tmp_path)) == adaptor.digest(quantized)
