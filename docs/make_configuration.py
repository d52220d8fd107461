"""Write docs/configuration.md from the schema and the defaults; run it after changing either."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from inc_core.config.dump import config_to_dict, dataloader_document
from inc_core.config.historic import HISTORIC
from inc_core.config.schema import RECIPES, Rules, schema
from inc_core.config.types import ComponentConfig, Config, DataLoaderConfig, TrainConfig
from inc_core.plugin import Plugins

TARGET = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

<!-- made by docs/make_configuration.py; do not edit -->

`Quantization(conf)` and `inc quantize conf.yaml` take the path of a YAML file, a mapping of the
same shape, or an `inc_core.config.types.Config`. Every key may be left out. `inc init --model M`
writes a commented file to begin with.

* Lists may be written `[a, b]`, `"a, b"`, `"a b"` or, with one item, `a`. `1%` is `0.01`. A section
  without content, such as a bare `tuning:`, is as good as none.
* A **component** is something that an installed plugin offers by name (`inc plugins` lists them): a
  name, or `name: parameters`. A mapping gives keywords (`npz: {path: train.npz}`), one value the first
  parameter (`topk: 1`). Lists become tuples. **Components** are several in order: a mapping, or a
  list of single entries where one is to be repeated.
* A key that is not in these tables is an error. Every problem of a file is reported at once, with
  key path and line.
* The file is only ever read.
"""

HISTORY = """\
## Keys of old files without effect

They are accepted with a warning of the logger `inc_core.config`. `*` stands for anything.
`op_wise.default_qconfig` is read as the `model_wise` of all ops, `pruning.approach.weight_compression_...` as
`weight_compression`.

| Key | Why |
|---|---|
"""

LOADER = """\
## Data loaders

The same keys stand under `quantization.calibration.dataloader`, `evaluation.accuracy.dataloader`,
`evaluation.performance.dataloader` and the `dataloader` of each training.

"""

CONSTRAINT = """\
## What an op may use

These keys stand under `quantization.model_wise`, and under each name in `quantization.optype_wise`
and `quantization.op_wise`. Only fields that are stated narrow anything. A constraint that no op
or no offered option satisfies is an error.

"""

BUILT_IN = """\
## What is built in

These components need no plugin besides inc-core; `inc plugins` lists those of other plugins too. A wrong
parameter is an error that prints the signature.

| Name | Parameters | |
|---|---|---|
"""

# in the order of the sections that name them
KINDS = ("dataset", "transform", "strategy", "objective", "observer", "pruner")

TABLE = "| Key | Value | Default | Effect |\n|---|---|---|---|\n"


def render() -> str:
    """Return the text of docs/configuration.md."""
    trained = Config(train=TrainConfig())
    defaults = {"version": "1.0", **config_to_dict(trained)}
    loader = dataloader_document(DataLoaderConfig(ComponentConfig("NAME")))
    loader["dataset"] = None
    quantization = schema()["quantization"]["schema"]
    parts = [HEAD]
    scalars = {name: rules for name, rules in schema().items() if "schema" not in rules}
    parts.append("## Top level\n\n" + TABLE + _table(scalars, defaults, ""))
    for name, rules in schema().items():
        if "schema" in rules:
            rows = _table(rules["schema"], defaults[name], f"{name}.")
            parts.append(f"## `{name}`\n\n{rules['meta']['doc']}\n\n{TABLE}{rows}")
    keys = quantization["calibration"]["schema"]["dataloader"]["schema"]
    parts.append(LOADER + TABLE + _table(keys, loader, ""))
    parts.append(CONSTRAINT + TABLE + _table(quantization["model_wise"]["schema"], {}, ""))
    parts.append(BUILT_IN + "".join(_built_in()))
    parts.append(HISTORY + "".join(f"| `{key}` | {why} |\n" for key, why in HISTORIC.items()))
    return "\n".join(parts)


def _built_in() -> Iterator[str]:
    plugins = Plugins.of()  # the built-ins alone
    for kind in KINDS:
        for name in plugins.names(kind):
            component = plugins.component(kind, name)
            doc = (component.__doc__ or "").partition("\n")[0].replace("|", "\\|")
            yield f"| {kind} `{name}` | {_parameters(component)} | {doc} |\n"


def _parameters(component: Any) -> str:
    """Return the parameters of a constructor as they stand in YAML."""
    if component.__init__ is object.__init__:
        return ""
    parameters = list(inspect.signature(component.__init__).parameters.values())[1:]
    return ", ".join(
        f"`{one.name}`" if one.default is one.empty else f"`{one.name}: {_inline_of(one.default)}`"
        for one in parameters
    )


def _inline_of(default: Any) -> str:
    return _inline(list(default) if isinstance(default, tuple) else default)


def _table(keys: Mapping[str, Rules], defaults: Mapping[str, Any], prefix: str) -> str:
    return "".join(_rows(keys, defaults, prefix))


def _rows(keys: Mapping[str, Rules], defaults: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, rules in keys.items():
        meta, path = rules["meta"], f"{prefix}{name}"
        default = defaults.get(name)
        if name in ("model_wise", "optype_wise", "op_wise"):
            yield f"| `{path}` | [mapping](#what-an-op-may-use) | | {meta['doc']} |\n"
        elif name == "dataloader":
            yield f"| `{path}` | [data loader](#data-loaders) | | {meta['doc']} |\n"
        elif name == "train":
            yield f"| `{path}` | [training](#train) | | {meta['doc']} |\n"
        elif name == "recipes":
            yield from (
                f"| `{path}.{switch}` | true or false | | {doc} |\n"
                for switch, doc in RECIPES.items()
            )
        elif rules.get("type") == "dict" and "schema" in rules:
            yield from _rows(rules["schema"], default or {}, f"{path}.")
        else:
            shown = "" if default in (None, "", [], {}) else f"`{_inline(default)}`"
            yield f"| `{path}` | {meta['kind']} | {shown} | {meta['doc']} |\n"


def _inline(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
