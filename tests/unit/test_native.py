"""INC_KERNELS: what may be asked for, and what a CPU without it answers."""

from __future__ import annotations

import pytest

from inc_core.errors import ConfigError
from inc_core.native import ISAS, kernel_choice, use_isa


class Library:
    """Kernels on a CPU that has the first two instruction sets."""

    def __init__(self):
        self.isa = 1

    def inc_isa(self):
        return self.isa

    def inc_set_isa(self, isa):
        self.isa = min(isa, 1)
        return self.isa


@pytest.mark.parametrize("choice", ["", "native", "reference", *ISAS])
def test_what_exists_may_be_asked_for(monkeypatch, choice):
    monkeypatch.setenv("INC_KERNELS", choice)
    assert kernel_choice() == choice


def test_what_does_not_exist_names_the_closest(monkeypatch):
    monkeypatch.setenv("INC_KERNELS", "avx3")
    with pytest.raises(
        ConfigError, match=r"INC_KERNELS='avx3': .*Did you mean 'avx2'\?.*reference"
    ):
        kernel_choice()


def test_only_the_name_of_a_set_changes_the_one_in_use():
    assert use_isa(Library(), "") == use_isa(Library(), "native") == "avx2"
    assert use_isa(Library(), "scalar") == "scalar"


def test_a_set_that_the_cpu_lacks_is_an_error():
    with pytest.raises(ConfigError, match="this CPU has no avx512_vnni"):
        use_isa(Library(), "avx512_vnni")
