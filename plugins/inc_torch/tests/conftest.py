"""Batches for the models of ``models.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
    """Keep measurements of one test from the next, and from the user's own cache."""
    monkeypatch.setenv("INC_CACHE", "0")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def images():
    rng = np.random.default_rng(5)
    return [{"image": rng.normal(size=(8, 3, 16, 16)).astype(np.float32)} for _ in range(4)]


@pytest.fixture
def sentences():
    rng = np.random.default_rng(6)
    mask = np.ones((4, 10), np.int64)
    mask[:, 7:] = 0
    return [{"input_ids": rng.integers(0, 50, (4, 10)), "attention_mask": mask} for _ in range(4)]


@pytest.fixture
def pairs():
    rng = np.random.default_rng(8)
    return [
        {
            "a": rng.normal(size=(8, 12)).astype(np.float32),
            "b": rng.normal(size=(8, 6)).astype(np.float32),
        }
        for _ in range(4)
    ]
