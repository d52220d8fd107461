"""Trainings through the original API: ``python benchmarks/torch_training.py``.

* Quantization-aware training of mobilenetv1_hot with every conv and linear layer in int8, without
  equalization. Two pairs of its layers were rescaled on purpose (the assets' README says how), so that
  plain int8 breaks it.
* Pruning of resnet8 to 80 % zeros by magnitude.

Both train on the 10,000 training images of the assets, and are evaluated on all 10,000 test images.

Options: ``--epochs N``, ``--only qat|pruning``, ``--threads N``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from typing import Any

import assets
import timing

try:
    import torch
    from torch.nn import functional

    import inc_torch  # noqa: F401 - only asked whether it is there
    from inc_core.experimental import Pruning, Quantization, common
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install torch, inc-core and inc-torch first: "
        "pip install torch . ./plugins/inc_torch"
    )

BATCH = 32
CALIBRATION_SAMPLES = 256
TARGET_SPARSITY = 0.8
# of the first step; the rate falls to 0. For integers it is a share of each parameter's own size
QAT_RATE = 0.01
PRUNING_RATE = 0.01
# Smaller parameters than this move as fast as one of this size, so that a zero can leave its place
SMALLEST_SIZE = 0.01
# Softens what the float model says, so that more than its first choice is learnt
TEMPERATURE = 2.0
LARGEST_SHIFT = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--only", choices=("qat", "pruning"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    assets.folder()
    torch.set_num_threads(arguments.threads)
    timing.print_heading("torch_training", "torch", "numpy", "inc-core", "inc-torch")
    print(f"  training  {arguments.threads} threads, CPU seconds of all of them together")
    header = (
        "model",
        "task",
        "float",
        "plain int8",
        "after",
        "ops int8",
        "zeros",
        "CPU s of training",
    )
    rows = []
    if arguments.only != "pruning":
        rows.append(train_quantized("mobilenetv1_hot", arguments.epochs))
    if arguments.only != "qat":
        rows.append(prune("resnet8", arguments.epochs))
    timing.print_table("trainings on 10,000 images", header, rows)


def train_quantized(name: str, epochs: int) -> tuple[Any, ...]:
    """Return the row of a quantization-aware training."""
    clock = Clock()

    def training_func(model: Any) -> None:
        optimizer = RelativeAdam(model.parameters(), lr=QAT_RATE)
        with clock:
            train(model, load(name), epochs, optimizer, Silent(), whole=True)

    with tempfile.TemporaryDirectory() as workspace:
        plain = make_quantizer(name, "post_training_static_quant", f"{workspace}/plain").fit()
        quantizer = make_quantizer(name, "quant_aware_training", f"{workspace}/trained")
        quantizer.q_func = training_func
        q_model = quantizer.fit()
    accuracy, kinds = q_model.facts["accuracy"], q_model.facts["ops"].values()
    quantized = sum(row.get("int8", 0) for row in kinds)
    verdict = "met" if q_model.goal_met else "NOT met"
    return (
        name,
        f"QAT, 1 % {verdict}",
        f"{accuracy['baseline']:.4f}",
        f"{plain.facts['accuracy']['final']:.4f}",
        f"{accuracy['final']:.4f}",
        f"{quantized} of {sum(sum(row.values()) for row in kinds)}",
        "",
        f"{clock.seconds:.0f}",
    )


def make_quantizer(name: str, approach: str, workspace: str) -> Any:
    """Return a quantizer of one trial, that asks for no speed and repairs nothing."""
    recipes = {"cross_layer_equalization": False, "bias_correction": False}
    quantizer = Quantization(
        {
            "model": {"name": name, "framework": "pytorch"},
            "quantization": {
                "approach": approach,
                "calibration": {"sampling_size": CALIBRATION_SAMPLES},
                "recipes": recipes if approach == "post_training_static_quant" else {},
            },
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "exit_policy": {"max_trials": 1, "on_goal_not_met": "best_seen"},
                # every op in int8, whether that is faster here or not
                "speed_gate": False,
                "strategy": {"name": "basic"},
                "workspace": {"path": workspace},
                "cache": {"enabled": False},  # what an earlier run knows would be no cost here
            },
        }
    )
    quantizer.model = common.Model(load(name))
    calibration = assets.calibration_set(name, CALIBRATION_SAMPLES)
    quantizer.calib_dataloader = common.DataLoader(calibration, batch_size=BATCH)
    quantizer.eval_dataloader = common.DataLoader(assets.test_set(name), batch_size=250)
    quantizer.metric = common.Metric(assets.Top1)
    return quantizer


def prune(name: str, epochs: int) -> tuple[Any, ...]:
    """Return the row of a pruning."""
    compression = {
        "initial_sparsity": 0.0,
        "target_sparsity": TARGET_SPARSITY,
        "start_epoch": 0,
        # the last epochs recover what the last zeros cost
        "end_epoch": max(1, epochs // 2),
        "sparsity_decay_type": "cubic",
        "prune_domain": "global",
        "pruners": [{"prune_type": "basic_magnitude"}],
    }
    prune = Pruning(
        {
            "model": {"name": name, "framework": "pytorch"},
            "pruning": {"approach": {"weight_compression": compression}},
        }
    )
    prune.model = common.Model(load(name))
    prune.eval_dataloader = common.DataLoader(assets.test_set(name), batch_size=250)
    prune.metric = common.Metric(assets.Top1)
    clock = Clock()

    def training_func(model: Any) -> None:
        with clock:
            optimizer = torch.optim.SGD(model.parameters(), lr=PRUNING_RATE, momentum=0.9)
            train(model, load(name), epochs, optimizer, prune)

    prune.q_func = training_func
    pruned = prune()
    print(pruned.report())
    return (
        name,
        "pruning",
        f"{pruned.baseline:.4f}",
        "",
        f"{pruned.accuracy:.4f}",
        "",
        f"{pruned.sparsity.sparsity:.2%}",
        f"{clock.seconds:.0f}",
    )


class RelativeAdam(torch.optim.Adam):
    """Adam whose steps are shares of each parameter's size.

    Some channels of the model were made 32 times larger and others as much smaller. One step for all
    of them would leave the large ones where they are and throw the small ones about.
    """

    def step(self, closure: Any = None) -> Any:
        """Make Adam's step, times the size of what it moves."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in parameters]
        result = super().step(closure)
        with torch.no_grad():
            for parameter, old in zip(parameters, before, strict=True):
                size = old.abs().clamp_min(SMALLEST_SIZE)
                parameter.copy_(old + (parameter - old) * size)
        return result


def train(
    model: Any, teacher: Any, epochs: int, optimizer: Any, hooks: Any, *, whole: bool = False
) -> None:
    """Train on what the float model says of the training images, without their labels.

    Images are flipped and shifted: 10,000 of them as they are would soon be known by heart.

    Args:
        model: To train in place.
        teacher: The float model.
        epochs: Each over all images.
        optimizer: Of the model's parameters; its rate falls to 0.
        hooks: Told what happens.
        whole: Whether the model can still be the very function that the teacher is. Then it is compared
            on mixed images too, and its batch norms keep the statistics of that function.
    """
    torch.manual_seed(0)
    images = torch.from_numpy(assets.calibration_set("", None).inputs)
    per_epoch = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * per_epoch)
    for epoch in range(epochs):
        model.train()
        if whole:
            for layer in model.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.eval()
        hooks.on_epoch_begin(epoch)
        total = 0.0
        for step, chosen in enumerate(
            torch.randperm(len(images))[: per_epoch * BATCH].split(BATCH)
        ):
            hooks.on_step_begin(step)
            x = shifted(images[chosen])
            if step % 2:
                x = x.flip(3)
            if whole:
                x = mixed(x)
            loss = distance(model(x), teacher, x)
            optimizer.zero_grad()
            loss.backward()
            hooks.on_before_optimizer_step()
            optimizer.step()
            schedule.step()
            hooks.on_step_end()
            total += loss.item()
        hooks.on_epoch_end()
        print(f"  epoch {epoch}: mean loss {total / per_epoch:.3f}", flush=True)


def shifted(images: Any) -> Any:
    """Return images moved by up to ``LARGEST_SHIFT`` pixels, zeros at the edges."""
    down, right = torch.randint(0, 2 * LARGEST_SHIFT + 1, (2,)).tolist()
    size = images.shape[-1]
    padded = functional.pad(images, (LARGEST_SHIFT,) * 4)
    return padded[:, :, down : down + size, right : right + size]


def mixed(images: Any) -> Any:
    """Return each image laid over another one of the batch, by a weight that is drawn."""
    weight = float(torch.rand(()))
    return weight * images + (1 - weight) * images.flip(0)


def distance(output: Any, teacher: Any, x: Any) -> Any:
    """Return how far answers are from a teacher's (Hinton et al. 2015, arXiv:1503.02531)."""
    with torch.no_grad():
        told = functional.softmax(teacher(x) / TEMPERATURE, 1)
    student = functional.log_softmax(output / TEMPERATURE, 1)
    return functional.kl_div(student, told, reduction="batchmean") * TEMPERATURE**2


def load(name: str) -> Any:
    """Return a trained CNN of the assets; its definition lies beside them."""
    path = assets.folder() / "train" / "cifar_models.py"
    spec = importlib.util.spec_from_file_location("cifar_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.build(name.partition("_")[0])
    state = assets.folder() / "models" / f"{name}_cifar10.pt"
    model.load_state_dict(torch.load(state, weights_only=True))
    return model.eval()


class Silent:
    """Hooks of a training that tells nobody."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Clock:
    """CPU seconds of this process within a ``with`` block."""

    seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.process_time()

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.process_time() - self._start


if __name__ == "__main__":
    main()
