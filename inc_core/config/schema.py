"""Every key of the configuration: its rules for cerberus, and its words for the reference.

``meta`` holds ``doc`` (what the key does), ``kind`` (what may be written) and sometimes
``example``; validation ignores it, the template and ``docs/configuration.md`` are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from inc_core.config import coerce
from inc_core.config.rules import Rules
from inc_core.config.rules import dataloader as _dataloader
from inc_core.config.rules import key as _key
from inc_core.config.rules import section as _section
from inc_core.config.runner_rules import runner_rules
from inc_core.config.schema_training import distillation, pruning, train

__all__ = ["RECIPES", "Rules", "rules_at", "schema"]

# Switches that the core knows. A plugin may read others; only near misses of these are errors.
RECIPES: Mapping[str, str] = {
    "first_conv_or_matmul_quantization": "`false` keeps the first conv or matmul in float",
    "bias_correction": "repair the mean error of each channel in its bias; "
    "`true` always, `false` never, absent: tried if the goal is missed without it",
    "cross_layer_equalization": "even out channel ranges between layers; values as above",
    "native_kernels": "`true` runs what they serve by inc's own kernels, where the default would be a model "
    "that any runtime of the framework can run",
    "fast_bias_correction": "old name of `bias_correction`",
}

FLOAT = "{activation: {dtype: [fp32]}, weight: {dtype: [fp32]}}"


@lru_cache(maxsize=1)
def schema() -> Mapping[str, Rules]:
    """Return the rules of every top-level key."""
    return {
        "version": _key("`1.0`", "version of the file format; may be left out", coerce.version),
        "model": _model(),
        "device": _key("", "where the quantized model runs", coerce.text, allowed=["cpu", "gpu"]),
        "quantization": _quantization(),
        "evaluation": _evaluation(),
        "tuning": _tuning(),
        "train": train("training, where the sections below state none of their own"),
        "pruning": pruning(),
        "distillation": distillation(),
        "plugins": _section(
            "Installed plugins.",
            require=_key(
                "names", "plugins that must load for this run", coerce.name_list, example="[NAME]"
            ),
        ),
    }


def rules_at(path: tuple[str | int, ...]) -> Rules:
    """Return the rules of a key path; the whole schema, as a section, for ``()``."""
    rules: Rules = {"schema": schema()}
    for part in path:
        inner = rules.get("schema", {})
        # the items of a list have one rule, the keys of a section one each
        rules = inner if isinstance(part, int) else inner.get(part) or rules.get("valuesrules", {})
    return rules


def _model() -> Rules:
    return _section(
        "The model.",
        name=_key("text", "a label for reports", coerce.text),
        framework=_key(
            "text",
            "the framework, by a name that a plugin offers; `NA`: the plugins are asked",
            coerce.framework,
        ),
        inputs=_key("names", "names of the graph's inputs", coerce.name_list, example="[input]"),
        outputs=_key("names", "names of the graph's outputs", coerce.name_list, example="[output]"),
    )


def _quantization() -> Rules:
    return _section(
        "What may be quantized, and how.",
        approach=_key(
            "`static`, `dynamic`, `auto`, `weight_only`, `qat`, or an old name such as "
            "`post_training_static_quant`",
            "static: ranges from calibration; dynamic: ranges from each input; auto: the better "
            "of both per op; weight_only: only weights stored in integers; qat: training",
            coerce.approach,
        ),
        calibration=_section(
            "Calibration, which static quantization needs.",
            sampling_size=_key(
                "whole numbers > 0",
                "samples to calibrate with; several values are tried in turn",
                coerce.integer_list,
            ),
            dataloader=_dataloader("calibration data, unless the script sets it"),
        ),
        recipes=_recipes(),
        model_wise=_op_constraint(
            "What every op may use; what is not said is allowed.",
            example="{weight: {granularity: [per_channel]}}",
        ),
        optype_wise=_by_name(
            "What ops of a type may use, by type; goes before `model_wise`.", f"{{OpType: {FLOAT}}}"
        ),
        op_wise=_by_name(
            "What ops may use, by a regular expression that matches their whole names; "
            "goes before `optype_wise`.",
            f"{{'name.*': {FLOAT}}}",
            keysrules={"type": "string", "check_with": _check_regex},
        ),
        train=train("training for `qat`, unless the script sets `q_func`"),
    )


def _evaluation() -> Rules:
    configs = _section(
        "How the measuring process is run: no effect yet.",
        cores_per_instance=_key(
            "whole number > 0",
            "cores of one instance (no effect yet)",
            coerce.integer,
            min=1,
            example="4",
        ),
        num_of_instance=_key(
            "whole number > 0", "instances side by side (no effect yet)", coerce.integer, min=1
        ),
    )
    return _section(
        "How results are measured.",
        accuracy=_section(
            "The accuracy that the goal is about.",
            metric=_key("component", "the metric", coerce.component, example="{topk: 1}"),
            dataloader=_dataloader("evaluation data, unless the script sets it"),
            postprocess=_section(
                "What happens to the model's outputs before the metric.",
                transform=_key(
                    "components",
                    "applied to `(outputs, labels)`",
                    coerce.components,
                    example="{NAME: {}}",
                ),
            ),
            iteration=_key("-1 or > 0", "batches to evaluate; -1: all", coerce.batches),
        ),
        performance=_section(
            "A benchmark of its own, which is not offered yet: a search measures latency by itself.",
            warmup=_key(
                "whole number >= 0",
                "batches before timing begins (no effect yet)",
                coerce.integer,
                min=0,
            ),
            iteration=_key(
                "-1 or > 0",
                "batches to time; -1: as many as needed (no effect yet)",
                coerce.batches,
            ),
            configs=configs,
            dataloader=_dataloader("data to time with; else the evaluation data (no effect yet)"),
        ),
    )


def _tuning() -> Rules:
    return _section(
        "The search.",
        rules={"check_with": _check_one_objective},
        strategy=_key(
            "name, or mapping",
            "`name` of the strategy; the other keys are its parameters",
            coerce.strategy,
        ),
        accuracy_criterion=_section(
            "The accuracy goal: `relative` or `absolute`.",
            rules={"check_with": _check_one_tolerance},
            relative=_key(
                "share in (-1, 1), or `1%`", "allowed loss as a share of the baseline", coerce.share
            ),
            absolute=_key("number", "allowed loss in units of the metric", coerce.number),
            higher_is_better=_key(
                "true or false",
                "direction of the metric; else the metric says it",
                coerce.boolean,
                example="false",
            ),
        ),
        objective=_key(
            "name", "measured beside accuracy; decides among accepted trials", coerce.text
        ),
        multi_objectives=_section(
            "Several objectives, in place of `objective`.",
            rules={"check_with": _check_weights},
            objective=_key("names", "what is measured", coerce.name_list),
            weight=_key("numbers", "one for each objective; equal if left out", _numbers),
        ),
        exit_policy=_exit_policy(),
        early_stop=_key(
            "true or false",
            "end an evaluation when the goal is out of reach; needs a metric with scores per sample",
            coerce.boolean,
        ),
        noise_check=_key(
            "",
            "evaluate the float model twice, to see if evaluation is deterministic; auto: a part of the "
            "data, where eval_func takes indices or there is a metric",
            coerce.text,
            allowed=["auto", "full", "off"],
        ),
        speed_gate=_key(
            "true or false",
            "keep ops float whose quantized kernels do not pay on this machine, as measured",
            coerce.boolean,
        ),
        random_seed=_key("whole number >= 0", "seed of the search", coerce.integer, min=0),
        runner=runner_rules(),
        workspace=_section(
            "Where runs are kept.",
            path=_key("path", "folder of the runs", coerce.text),
            resume=_key(
                "path", "another run to take up", coerce.text, example="inc_workspace/run-1"
            ),
            if_busy=_key(
                "",
                "where another run is active: an error, or a workspace beside it",
                coerce.text,
                allowed=["error", "sibling"],
            ),
        ),
        cache=_section(
            "What is kept of measurements and results across runs.",
            enabled=_key("true or false", "use it", coerce.boolean),
            size_mb=_key("MB > 0", "its size at most", coerce.number, min=1.0),
            directory=_key("path", "its folder; the user's cache folder if unset", coerce.text),
        ),
    )


def _exit_policy() -> Rules:
    return _section(
        "When the search ends.",
        timeout=_key(
            "seconds >= 0",
            "0: by the strategy's own rule, at the first accepted trial if it has none; else the best is "
            "sought until then",
            coerce.number,
            min=0,
        ),
        max_trials=_key(
            "whole number > 0",
            "trials at most; else the strategy ends by itself",
            coerce.integer,
            min=1,
            example="100",
        ),
        performance_only=_key(
            "true or false", "convert once and check no accuracy", coerce.boolean
        ),
        on_goal_not_met=_key(
            "",
            "raise: an error; best_seen: the closest model, marked as such",
            coerce.text,
            allowed=["raise", "best_seen"],
        ),
        keep_float_if_slower=_key(
            "true or false",
            "return the float model where the quantized one was measured slower",
            coerce.boolean,
        ),
    )


def _recipes() -> Rules:
    meta = {
        "kind": "mapping",
        "doc": "Model-wide switches; a plugin may know more than these.",
        "example": "{bias_correction: true}",
    }
    switch = _key("true or false", "", coerce.boolean)
    return {"type": "dict", "nullable": True, "valuesrules": switch, "meta": meta}


def _op_constraint(doc: str, example: str = "") -> Rules:
    parts = {"activation": "activations", "weight": "weights"}
    keys = {name: _tensor_constraint(words) for name, words in parts.items()}
    return _section(doc, example=example, **keys)


def _tensor_constraint(words: str) -> Rules:
    granularities = ("per_tensor", "per_channel", "per_group")
    return _section(
        f"Allowed for {words}.",
        dtype=_key(
            f"names of {', '.join(f'`{name}`' for name in coerce.DTYPES)}, `fp8_...`",
            "dtypes; naming only float ones keeps the op in float",
            coerce.dtypes,
        ),
        scheme=_key("names of `sym`, `asym`", "symmetric or asymmetric", coerce.schemes),
        granularity=_key(
            f"names of {', '.join(f'`{name}`' for name in granularities)}",
            "how many scales a tensor has",
            coerce.names_of(*granularities),
        ),
        algorithm=_key("names", "observers that choose ranges", coerce.algorithms),
        group_size=_key("whole numbers > 0", "weights per scale", coerce.integer_list),
    )


def _by_name(doc: str, example: str, **rules: Any) -> Rules:
    meta = {"kind": "mapping", "doc": doc, "example": example}
    constraint = _op_constraint("")
    return {"type": "dict", "nullable": True, "valuesrules": constraint, "meta": meta, **rules}


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(coerce.number(item) for item in coerce.items(value))


Report = Callable[[str, str], None]


def _check_regex(field: str, value: Any, error: Report) -> None:
    try:
        re.compile(value)
    except re.error as reason:
        error(field, f"no regular expression: {reason}. It must match whole op names.")


def _check_one_tolerance(field: str, value: Any, error: Report) -> None:
    _check_one(field, value, error, "relative", "absolute")


def _check_one_objective(field: str, value: Any, error: Report) -> None:
    _check_one(field, value, error, "objective", "multi_objectives")


def _check_one(field: str, value: Any, error: Report, *names: str) -> None:
    if isinstance(value, Mapping) and all(value.get(name) is not None for name in names):
        error(field, f"holds both {names[0]!r} and {names[1]!r}; keep one")


def _check_weights(field: str, value: Any, error: Report) -> None:
    if not isinstance(value, Mapping):
        return
    names, weights = value.get("objective"), value.get("weight")
    if names is None:
        error(field, "names no 'objective'")
    elif isinstance(names, tuple) and isinstance(weights, tuple) and len(names) != len(weights):
        error(
            field,
            f"{len(names)} objectives ({', '.join(names)}) but {len(weights)} weights; "
            "write one weight for each",
        )
