"""Files as users of each framework family have them load unchanged."""

from __future__ import annotations

import pytest

from inc_core.config.load import load_config
from inc_core.config.types import ComponentConfig, DataLoaderConfig, TrainConfig
from inc_core.quant.constraint import OpConstraint, TensorConstraint

GRAPH_FILE = """\
version: 1.0
model:                      # frozen graph
  name: mobilenet
  framework: tensorflow
  inputs: input
  outputs: logits/a, logits/b
quantization:
  calibration:
    sampling_size: 20, 50
    dataloader:
      batch_size: 10
      dataset:
        ImageRecord:
          root: /data/calib
      filter:
        LabelBalance:
          size: 1
      transform:
        BilinearImagenet:
          height: 224
          width: 224
  model_wise:
    activation:
      algorithm: minmax
    weight:
      granularity: per_channel
      bit: 7.0
  optype_wise:
    MatMul:
      activation: {dtype: [fp32]}
      weight: {dtype: [fp32]}
evaluation:
  accuracy:
    metric:
      topk: 1
    postprocess:
      transform:
        LabelShift: 1
    dataloader:
      dataset:
        dummy:
          shape: (128, 3, 224, 224)
  performance:
    iteration: 100
    configs:
      cores_per_instance: 4
      num_of_instance: 7
      kmp_blocktime: 1
    dataloader:
      batch_size: 1
      last_batch: discard
      dataset:
        dummy: null
tuning:
  accuracy_criterion:
    relative: 1%
  exit_policy:
    timeout: 0
    max_trials: 100
  random_seed: 9527
"""

EAGER_FILE = """\
model:
  name: bert
  framework: pytorch
device: cpu
quantization:
  approach: quant_aware_training
  train:
    end_epoch: 3
    optimizer:
      SGD:
        learning_rate: 1e-3
  op_wise:
    default_qconfig:
      activation: {dtype: [fp32]}
      weight: {dtype: [fp32]}
    layer1.0.conv1:
      activation:
        dtype: ["uint8"]
        scheme: ["asym"]
        algorithm: placeholder
        compute_dtype: [uint8]
      weight:
        dtype: ["int8"]
        scheme: [asym_float]
evaluation:
  accuracy:
    metric: {Accuracy: {}}
tuning:
  strategy:
    name: bayesian
    sigopt_api_token: secret
    n_initial_points: 3
  accuracy_criterion:
    absolute: 0.5
    higher_is_better: False
  tensorboard: true
"""

DYNAMIC_FILE = """\
model: {name: gpt, framework: onnxrt_integerops, inputs: [ids, mask]}
quantization:
  approach: post_training_dynamic_quant
  recipes:
    first_conv_or_matmul_quantization: False
    fast_bias_correction: True
evaluation:
tuning:
  multi_objectives:
    objective: [performance, modelsize]
    weight: 0.7, 0.3
  exit_policy:
    performance_only: yes
  workspace:
    path: runs
    resume: runs/first
"""

SYMBOL_FILE = """\
version: '1.0'
model:
  name: resnet18
  framework: mxnet
quantization:
  calibration:
    sampling_size: 160
    dataloader:
      batch_size: 32
      dataset: {ImageRecord: {root: /data/val.rec}}
      transform:
        - Resize: 256
        - Cast: {dtype: float32}
        - Normalize: {mean: [123.0, 116.0, 103.0], std: "58.0, 57.0, 57.0"}
        - Cast: float16
  model_wise:
    weight: {dtype: int8, scheme: sym, granularity: "per_channel per_tensor"}
tuning:
  objective: footprint
"""


@pytest.fixture
def load(tmp_path):
    def _load(text):
        path = tmp_path / "conf.yaml"
        path.write_text(text, encoding="utf-8")
        config = load_config(str(path))
        assert path.read_text(encoding="utf-8") == text
        return config

    return _load


def test_a_graph_file_names_inputs_data_and_goal(load):
    config = load(GRAPH_FILE)
    assert config.model.framework == "tensorflow"
    assert config.model.inputs == ("input",)
    assert config.model.outputs == ("logits/a", "logits/b")
    assert config.quantization.calibration.sampling_sizes == (20, 50)
    assert config.quantization.calibration.dataloader == DataLoaderConfig(
        dataset=ComponentConfig("ImageRecord", {"root": "/data/calib"}),
        transforms=(ComponentConfig("BilinearImagenet", {"height": 224, "width": 224}),),
        filter=ComponentConfig("LabelBalance", {"size": 1}),
        batch_size=10,
    )
    assert config.quantization.model_wise == OpConstraint(
        activation=TensorConstraint(algorithm=("minmax",)),
        weight=TensorConstraint(granularity=("per_channel",)),
    )
    float_only = TensorConstraint(dtype=("fp32",))
    assert config.quantization.optype_wise == {"MatMul": OpConstraint(float_only, float_only)}


def test_a_graph_file_names_how_to_evaluate(load):
    config = load(GRAPH_FILE)
    accuracy, performance = config.evaluation.accuracy, config.evaluation.performance
    assert accuracy.metric == ComponentConfig("topk", 1)
    assert accuracy.postprocess == (ComponentConfig("LabelShift", 1),)
    assert accuracy.dataloader.dataset.parameters == {"shape": (128, 3, 224, 224)}
    assert (performance.iteration, performance.warmup) == (100, 5)
    assert (performance.cores_per_instance, performance.num_of_instance) == (4, 7)
    assert performance.dataloader == DataLoaderConfig(
        ComponentConfig("dummy"), batch_size=1, last_batch="discard"
    )
    assert config.tuning.criterion.tolerance == 0.01
    assert config.tuning.exit_policy.max_trials == 100
    assert config.tuning.random_seed == 9527


def test_an_eager_file_keeps_training_and_turns_the_default_qconfig_into_model_wise(load):
    quantization = load(EAGER_FILE).quantization
    assert quantization.approach == "qat"
    sgd = ComponentConfig("SGD", {"learning_rate": 0.001})
    assert quantization.train == TrainConfig(optimizer=sgd, end_epoch=3)
    assert quantization.train.epochs == range(3)
    float_only = TensorConstraint(dtype=("fp32",))
    assert quantization.model_wise == OpConstraint(float_only, float_only)
    assert quantization.op_wise == {
        "layer1.0.conv1": OpConstraint(
            activation=TensorConstraint(dtype=("uint8",), scheme=("asym",)),
            weight=TensorConstraint(dtype=("int8",), scheme=("asym",)),
        )
    }


def test_an_eager_file_names_strategy_and_an_absolute_goal(load):
    tuning = load(EAGER_FILE).tuning
    assert tuning.strategy == ComponentConfig("bayesian", {"n_initial_points": 3})
    assert (tuning.criterion.tolerance, tuning.criterion.relative) == (0.5, False)
    assert tuning.criterion.higher_is_better is False


def test_a_dynamic_file_names_recipes_objectives_and_workspace(load):
    config = load(DYNAMIC_FILE)
    assert config.quantization.approach == "dynamic"
    assert config.quantization.recipes == {
        "bias_correction": True,
        "first_conv_or_matmul_quantization": False,
    }
    assert config.tuning.objectives == {"performance": 0.7, "modelsize": 0.3}
    assert config.tuning.exit_policy.performance_only is True
    assert (config.tuning.workspace.path, config.tuning.workspace.resume) == ("runs", "runs/first")


def test_a_symbol_file_may_repeat_transforms_in_a_list(load):
    config = load(SYMBOL_FILE)
    loader = config.quantization.calibration.dataloader
    assert loader.transforms == (
        ComponentConfig("Resize", 256),
        ComponentConfig("Cast", {"dtype": "float32"}),
        ComponentConfig("Normalize", {"mean": (123.0, 116.0, 103.0), "std": (58.0, 57.0, 57.0)}),
        ComponentConfig("Cast", "float16"),
    )
    assert config.quantization.model_wise.weight.granularity == ("per_channel", "per_tensor")
    assert config.tuning.objectives == {"footprint": 1.0}
