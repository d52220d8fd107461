"""The keys of training: ``train``, ``pruning`` and ``distillation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inc_core.config import coerce
from inc_core.config.problem import received
from inc_core.config.rules import Rules, dataloader, key, section
from inc_core.pruning.patterns import parse_pattern
from inc_core.pruning.schedule import DECAYS

__all__ = ["distillation", "pruning", "train"]

_DOMAINS = {"local": "local", "per_layer": "local", "channel": "channel", "global": "global"}


def train(doc: str) -> Rules:
    """Return the rules of a ``train`` section."""
    return section(
        f"A training: {doc}.",
        optimizer=key(
            "component", "by the name that the framework's plugin knows", coerce.component
        ),
        criterion=key(
            "component",
            "the loss, likewise; `KnowledgeDistillationLoss` adds a teacher",
            coerce.component,
        ),
        dataloader=dataloader("training data, unless the script sets it"),
        epoch=key("whole number > 0", "epochs, if there is no `end_epoch`", coerce.integer, min=1),
        start_epoch=key("whole number >= 0", "number of the first epoch", coerce.integer, min=0),
        end_epoch=key("whole number > 0", "number after the last epoch", coerce.integer, min=1),
        iteration=key("-1 or > 0", "batches per epoch; -1: all", coerce.batches),
        frequency=key("whole number > 0", "epochs between evaluations", coerce.integer, min=1),
    )


def distillation() -> Rules:
    """Return the rules of the ``distillation`` section."""
    return section(
        "Knowledge distillation.",
        train=train("training of the student, unless the script sets `train_func`"),
    )


def pruning() -> Rules:
    """Return the rules of the ``pruning`` section."""
    entry = {**section("One pruner."), "schema": _pruner_keys()}
    pruners = {
        "type": "list",
        "nullable": True,
        "schema": entry,
        "meta": {
            "kind": "list of mappings",
            "doc": "several pruners; each has the keys around it, and its own go first",
            "example": "[{prune_type: basic_magnitude, names: ['conv1.*'], target_sparsity: 0.8}]",
        },
    }
    compression = section("How weights become zero; the defaults of all pruners.")
    compression["schema"] = {**_pruner_keys(), "pruners": pruners}
    return section(
        "Pruning.",
        train=train("training while weights are pruned, unless the script sets `train_func`"),
        approach=section(
            "Only weight compression is known.",
            weight_compression=compression,
        ),
    )


def _pruner_keys() -> dict[str, Rules]:
    return {
        "prune_type": key("name", "what makes a weight important: a pruner", coerce.text),
        "parameters": key("mapping", "parameters of the pruner", _parameters, example="{}"),
        "initial_sparsity": key("share", "share of zeros at the start", _fraction),
        "target_sparsity": key(
            "share", "share of zeros at the end; else 0.97, or what an N:M pattern says", _fraction
        ),
        **_schedule_keys(),
        "pattern": key(
            "pattern",
            "what becomes zero together: a block such as `4x1` or `tile_pattern_2x2`, or N:M such as "
            "`2:4`: at most 2 of 4 in a row are kept",
            _pattern,
        ),
        "prune_domain": key(
            "`local`, `channel` or `global`",
            "local: each weight has the target; channel: each output channel; global: all weights "
            "together",
            _domain,
        ),
        "max_sparsity_ratio_per_layer": key(
            "share", "the most that `global` takes of one weight", _fraction
        ),
        "names": key(
            "names",
            "weights to prune, by name, with `*`, or as regular expressions; else all",
            coerce.name_list,
            example="[conv1.weight]",
        ),
        "excluded_names": key("names", "weights not to prune, likewise", coerce.name_list),
        "extra_excluded_names": key("names", "old name for more of these", coerce.name_list),
        "method": key(
            "",
            "old word: per_channel is `prune_domain: channel`",
            coerce.text,
            allowed=["per_tensor", "per_channel"],
        ),
    }


def _schedule_keys() -> dict[str, Rules]:
    decays = ", ".join(f"`{name}`" for name in DECAYS)
    return {
        "start_epoch": key(
            "whole number >= 0", "epoch of the first zeros, counted from 0", coerce.integer, min=0
        ),
        "end_epoch": key(
            "whole number >= 0",
            "epoch at whose beginning the target is reached",
            coerce.integer,
            min=0,
        ),
        "start_step": key("whole number >= 0", "as `start_epoch`, in steps", coerce.integer, min=0),
        "end_step": key(
            "whole number >= 0",
            "as `end_epoch`, in steps over all epochs; above 0, steps count and not epochs",
            coerce.integer,
            min=0,
        ),
        "update_frequency": key(
            "whole number > 0", "epochs between updates", coerce.integer, min=1
        ),
        "update_frequency_on_step": key(
            "whole number > 0", "steps between updates", coerce.integer, min=1
        ),
        "sparsity_decay_type": key(decays, "the way from start to target", _decay),
    }


def _fraction(value: Any) -> float:
    try:
        result = coerce.number(value)
    except ValueError:
        result = -1.0
    if not 0 <= result < 1:
        raise ValueError(f"{received(value)}; allowed: a share from 0 to below 1, or 80%")
    return result


def _parameters(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{received(value)}; allowed: a mapping of the pruner's parameters")
    return value


def _pattern(value: Any) -> str:
    # YAML 1.1 reads 2:4 as a number to the base 60; quoting is easily forgotten
    text = "{}:{}".format(*divmod(value, 60)) if type(value) is int and value >= 60 else str(value)
    parse_pattern(text)
    return text


def _domain(value: Any) -> str:
    return _DOMAINS[coerce.names_of(*_DOMAINS)(coerce.text(value))[0]]


def _decay(value: Any) -> str:
    name = coerce.text(value)
    return coerce.names_of(*DECAYS)({"cube": "cubic"}.get(name, name))[0]
