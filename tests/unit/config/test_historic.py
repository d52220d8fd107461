from __future__ import annotations

import logging

import pytest

from inc_core.config.load import load_config
from inc_core.config.types import Config, PrunerConfig

TEXT = """\
pruning:
  approach:
    weight_compression:
      pruners:
        - !Pruner
            prune_type: basic_magnitude
tuning:
  tensorboard: true
  strategy:
    sigopt_api_token: secret
quantization:
  train: {dataloader: {dataset: dummy, distributed: true}}
  op_wise:
    conv1.0:
      weight: {bit: 7.0}
"""


def test_each_key_warns_once_with_its_line_and_the_reason(tmp_path, caplog):
    (tmp_path / "conf.yaml").write_text(TEXT)
    with caplog.at_level(logging.WARNING, "inc_core.config"):
        load_config(tmp_path / "conf.yaml")
    assert [record.name for record in caplog.records] == ["inc_core.config"] * 4
    assert caplog.messages == [
        "tuning.tensorboard (line 8) has no effect: tensors are not dumped",
        "tuning.strategy.sigopt_api_token (line 10) has no effect: the sigopt service is gone",
        "quantization.train.dataloader.distributed (line 12) has no effect: data is not sharded "
        "over machines",
        "quantization.op_wise['conv1.0'].weight.bit (line 15) has no effect: "
        "the dtype says how many bits there are",
    ]


def test_a_pruner_with_its_tag_is_read(tmp_path):
    (tmp_path / "conf.yaml").write_text(TEXT)
    assert load_config(tmp_path / "conf.yaml").pruning.pruners == (PrunerConfig(),)


@pytest.mark.parametrize(
    ("performance", "told"),
    [({"configs": {"cores_per_instance": 4}}, True), ({"warmup": 5, "iteration": -1}, False)],
)
def test_what_is_for_a_benchmark_is_told_unless_it_is_the_default(caplog, performance, told):
    load_config({"evaluation": {"performance": performance}})
    assert [m.startswith("evaluation.performance has no effect") for m in caplog.messages] == [
        True
    ] * told


@pytest.mark.parametrize("value", [False, None])
def test_switched_off_keys_do_not_warn(caplog, value):
    assert load_config({"tuning": {"tensorboard": value}}) == Config()
    assert caplog.messages == []


@pytest.mark.parametrize(
    "conf",
    [
        {"nas": {"approach": "basic"}},
        {"mixed_precision": {"precisions": "bf16"}},
        {"model_conversion": {"source": "qat"}},
        {"quantization": {"advance": {"bias_correction": "weight_empirical"}}},
        {"quantization": {"model_wise": {"activation": {"compute_dtype": ["uint8"]}}}},
        {"evaluation": {"accuracy": {"configs": {"cores_per_instance": 4}}}},
        {"evaluation": {"accuracy": {"multi_metrics": {"topk": 1, "MSE": {}}}}},
        {"evaluation": {"performance": {"configs": {"intra_num_of_threads": 4}}}},
        {"tuning": {"diagnosis": {"op_list": []}}},
    ],
    ids=lambda conf: "-".join(conf),
)
def test_old_keys_change_nothing_but_warn(caplog, conf):
    assert load_config(conf) == Config()
    [message] = caplog.messages
    assert "has no effect" in message
