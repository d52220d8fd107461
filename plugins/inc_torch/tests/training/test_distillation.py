from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, TrainingError
from inc_torch.training.distillation import make_distiller
from inc_torch.training.losses import soft_loss

from .nets import batches, make_block

LOGITS = "KnowledgeDistillationLoss"
LAYERS = "IntermediateLayersKnowledgeDistillationLoss"


def combined(criterion, parameters=None, student=None):
    """Return student output, own loss and combined loss of one batch."""
    student, teacher = student or make_block(1), make_block(2)
    distiller = make_distiller(student, teacher, ComponentConfig(criterion, parameters))
    x, labels = batches(1)[0]
    output = student(x)
    own = functional.cross_entropy(output, labels)
    return student, teacher, x, output, own, distiller.loss(x, output, own)


def test_the_loss_is_the_weighted_sum_with_the_teachers():
    parameters = {"temperature": 3.0, "loss_types": ["CE", "KL"], "loss_weights": [0.3, 0.7]}
    _, teacher, x, output, own, loss = combined(LOGITS, parameters)
    expected = 0.3 * own + 0.7 * soft_loss("KL", output, teacher(x), 3.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_reach_the_student_and_not_the_teacher():
    student, teacher, *_, loss = combined(LOGITS)
    loss.backward()
    assert student.fc.weight.grad is not None
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training


def test_an_output_of_the_teacher_that_is_at_hand_is_used():
    student, teacher = make_block(1), make_block(2)
    distiller = make_distiller(student, teacher, ComponentConfig(LOGITS))
    x, labels = batches(1)[0]
    output = student(x)
    own = functional.cross_entropy(output, labels)
    expected = distiller.loss(x, output, own)
    told = teacher(x)
    teacher.forward = None  # it cannot be run again
    assert distiller.loss(x, output, own, told) == expected


def test_layers_are_compared_pair_by_pair():
    parameters = {
        "layer_mappings": [["act", "act"], ["fc"]],
        "loss_types": ["MSE", "L1"],
        "loss_weights": [0.25, 0.75],
        "add_origin_loss": True,
    }
    student, teacher, x, output, own, loss = combined(LAYERS, parameters)

    def act(model):
        return model.act(model.bn1(model.conv1(x)))

    expected = (
        own
        + 0.25 * functional.mse_loss(act(student), act(teacher))
        + 0.75 * functional.l1_loss(output, teacher(x))
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_layers_of_other_shapes_are_an_error():
    with pytest.raises(TrainingError, match="map layers of one shape"):
        combined(LAYERS, {"layer_mappings": [["pool", "fc"]]})


@pytest.mark.parametrize(
    ("criterion", "parameters", "message"),
    [
        (LOGITS, {"loss_weights": [1, 1]}, "two shares that sum to 1"),
        (LOGITS, {"loss_types": ["CE", "KLD"]}, "one of KL, CE, MSE"),
        (LOGITS, {"temperature": 0}, "must be above 0"),
        (LOGITS, {"temprature": 2}, "unexpected keyword argument"),
        (LAYERS, {}, "name at least one pair"),
        (LAYERS, {"layer_mappings": [["fc", "fd"]]}, "the teacher has no layer 'fd'"),
        (LAYERS, {"layer_mappings": [["fc"]], "loss_types": ["L2"]}, "'L2' is unknown"),
        (LAYERS, {"layer_mappings": [["fc"]], "loss_weights": [1, 2]}, "one of each for each pair"),
        ("CrossEntropyLoss", {}, "has no teacher"),
    ],
    ids=["weights", "types", "temperature", "name", "empty", "layer", "kind", "count", "criterion"],
)
def test_wrong_parameters_are_an_error(criterion, parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_distiller(make_block(), make_block(), ComponentConfig(criterion, parameters))


def test_a_student_learns_from_its_teacher_without_labels():
    student, teacher = make_block(1), make_block(2)
    parameters = {"loss_weights": [0.0, 1.0]}
    distiller = make_distiller(student, teacher, ComponentConfig(LOGITS, parameters))
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    data = batches(2, 32)

    def distance():
        with torch.no_grad():
            return sum(soft_loss("KL", student.eval()(x), teacher(x), 1.0).item() for x, _ in data)

    before = distance()
    student.train()
    for step in range(40):
        x, _ = data[step % 2]
        output = student(x)
        optimizer.zero_grad()
        distiller.loss(x, output, nn.functional.mse_loss(output, output)).backward()
        optimizer.step()
    assert distance() < 0.5 * before
