"""One rule per kind of value: accept every spelling that old files use, return one form.

Each function takes a value that is not ``None`` and raises ``ValueError`` with a text that says
what was received and what is allowed; the caller adds the key path and the line.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from inc_core.config.problem import received
from inc_core.config.types import ComponentConfig, TuningConfig
from inc_core.errors import did_you_mean
from inc_core.quant.spec import INTEGER_RANGES

__all__ = [
    "algorithms",
    "approach",
    "batches",
    "boolean",
    "component",
    "components",
    "dtypes",
    "framework",
    "integer",
    "integer_list",
    "items",
    "name_list",
    "names_of",
    "number",
    "schemes",
    "share",
    "strategy",
    "text",
    "version",
]

APPROACHES: Mapping[str, str] = {
    "post_training_static_quant": "static",
    "post_training_dynamic_quant": "dynamic",
    "post_training_auto_quant": "auto",
    "quant_aware_training": "qat",
    "static": "static",
    "dynamic": "dynamic",
    "auto": "auto",
    "weight_only": "weight_only",
    "qat": "qat",
}

WEIGHT_ALGORITHMS: Mapping[str, str] = {
    "rtn": "minmax",
    "gptq": "gptq",
    "awq": "awq",
    "hqq": "hqq",
}
DTYPES = (*INTEGER_RANGES, "fp32", "bf16", "fp16")

_NUMBERS = re.compile(r"[\s\d.,()\[\]eE+-]+")
_FLOAT_DTYPE = re.compile(r"fp\d+(_\w+)?")


def text(value: Any) -> str:
    """Return a name; numbers are taken as names too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{received(value)}; allowed: text")
    return str(value).strip()


def framework(value: Any) -> str:
    """Return a framework's name; ``NA`` means that the plugins are asked."""
    name = text(value)
    return "" if name == "NA" else name


def boolean(value: Any) -> bool:
    """Return a truth value; the words true, false, yes, no, on and off are taken as such."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError(f"{received(value)}; allowed: true or false")


def number(value: Any) -> float:
    """Return a finite number; ``"1%"`` is 0.01."""
    result = None if isinstance(value, bool) else _float_of(value)
    if result is None or not math.isfinite(result):
        raise ValueError(f"{received(value)}; allowed: a number")
    return result


def share(value: Any) -> float:
    """Return a number between -1 and 1, both excluded; ``"1%"`` is 0.01."""
    try:
        result = number(value)
    except ValueError:
        result = math.inf
    if not -1 < result < 1:
        raise ValueError(
            f"{received(value)}; allowed: a share between -1 and 1, such as 0.01 or 1%"
        )
    return result


def _float_of(value: Any) -> float | None:
    """Return the number that ``value`` is or spells, or ``None``."""
    try:
        if isinstance(value, str) and value.strip().endswith("%"):
            return float(value.strip()[:-1]) / 100
        return float(value)
    except (TypeError, ValueError):
        return None


def integer(value: Any) -> int:
    """Return a whole number; ``"8"`` and ``8.0`` are taken as one."""
    result = None if isinstance(value, bool) else _float_of(value)
    if result is None or not result.is_integer():
        raise ValueError(f"{received(value)}; allowed: a whole number")
    return int(result)


def batches(value: Any) -> int:
    """Return a number of batches: -1 for all of them, or above 0."""
    count = integer(value)
    if count < -1 or count == 0:
        raise ValueError(f"{received(value)}; allowed: -1 or > 0")
    return count


def name_list(value: Any) -> tuple[str, ...]:
    """Return names from a list, from ``"a, b"`` or ``"a b"``, or from one name."""
    try:
        return tuple(text(item) for item in items(value))
    except ValueError:
        raise ValueError(f"{received(value)}; allowed: a name, a list of names or 'a, b'") from None


def integer_list(value: Any) -> tuple[int, ...]:
    """Return whole numbers > 0, each once, from a list, from ``"50, 100"`` or from one number."""
    try:
        numbers = tuple(integer(item) for item in items(value))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise ValueError(
            f"{received(value)}; allowed: a whole number above 0, a list of them or '50, 100'"
        )
    return tuple(dict.fromkeys(numbers))


def items(value: Any) -> tuple[Any, ...]:
    """Return the parts of a list, of ``"a, b"`` or ``"a b"``, or one value alone."""
    if isinstance(value, str):
        return tuple(part for part in re.split(r"[\s,]+", value.strip("[]() ")) if part)
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def names_of(*allowed: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a rule for lists of names that must be among ``allowed``."""

    def rule(value: Any) -> tuple[str, ...]:
        names = name_list(value)
        for name in names:
            if name not in allowed:
                guess = did_you_mean(name, allowed)
                raise ValueError(f"received {name!r}; allowed: {', '.join(allowed)}.{guess}")
        return names

    return rule


def dtypes(value: Any) -> tuple[str, ...]:
    """Return dtype names: integers, float modes, or a narrow float such as ``fp8_e4m3``."""
    names = name_list(value)
    known = [name for name in names if name not in DTYPES and _FLOAT_DTYPE.fullmatch(name)]
    return names_of(*DTYPES, *known)(names)


def schemes(value: Any) -> tuple[str, ...]:
    """Return schemes; ``asym_float``, asymmetric with a float zero point, is read as ``asym``."""
    names = names_of("sym", "asym", "asym_float")(value)
    return tuple(dict.fromkeys(name.replace("asym_float", "asym") for name in names))


def algorithms(value: Any) -> tuple[str, ...]:
    """Return names of observers and weight algorithms, these in any case.

    ``placeholder``, the old word for no observer, allows any; rounding to nearest is the minmax observer.
    """
    names = (name for name in name_list(value) if name != "placeholder")
    return tuple(WEIGHT_ALGORITHMS.get(name.lower(), name) for name in names)


def approach(value: Any) -> str:
    """Return the short name of an approach."""
    name = text(value)
    if name not in APPROACHES:
        raise ValueError(
            f"{received(value)}; allowed: {', '.join(APPROACHES)}.{did_you_mean(name, APPROACHES)}"
        )
    return APPROACHES[name]


def version(value: Any) -> str:
    """Return the version of the file format, which must be 1 or 1.x."""
    name = text(value)
    if name.split(".")[0] != "1":
        raise ValueError(f"{received(value)}; allowed: 1.0, the version of this file format")
    return name


def component(value: Any) -> ComponentConfig:
    """Return a component from its name or from a mapping with one entry, ``{name: parameters}``."""
    if isinstance(value, ComponentConfig):
        return value
    if isinstance(value, str) and value.strip():
        return ComponentConfig(value.strip())
    if isinstance(value, Mapping) and len(value) == 1:
        [(name, parameters)] = value.items()
        return ComponentConfig(str(name), _parameters(parameters))
    if isinstance(value, Mapping) and len(value) > 1:
        raise ValueError(f"names {', '.join(map(str, value))}; allowed: exactly one")
    raise ValueError(f"{received(value)}; allowed: a name, or one 'name: parameters'")


def components(value: Any) -> tuple[ComponentConfig, ...]:
    """Return components, in order, from an ordered mapping or a list (which may repeat names)."""
    if isinstance(value, Mapping):
        return tuple(component({name: parameters}) for name, parameters in value.items())
    if isinstance(value, list | tuple):
        return tuple(component(item) for item in value)
    return (component(value),)


def strategy(value: Any) -> ComponentConfig:
    """Return a strategy from its name, or from a mapping of ``name`` and its parameters."""
    if isinstance(value, ComponentConfig | str):
        return component(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{received(value)}; allowed: a name, or a mapping with 'name'")
    parameters = {str(key): _parameters(item) for key, item in value.items() if key != "name"}
    name = value.get("name")
    name = TuningConfig().strategy.name if name is None else text(name)
    return ComponentConfig(name, parameters or None)


def _parameters(value: Any) -> Any:
    """Return a component's parameters with lists, and texts such as ``"(3, 224)"``, as tuples."""
    if isinstance(value, Mapping):
        return {key: _parameters(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_parameters(item) for item in value)
    if isinstance(value, str) and "," in value and _NUMBERS.fullmatch(value):
        return _number_tuple(value)
    return value


def _number_tuple(value: str) -> Any:
    try:
        return _parameters(ast.literal_eval(value.strip()))
    except (SyntaxError, ValueError):
        return value  # looked like numbers, but is the component's own notation
