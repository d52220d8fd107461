from __future__ import annotations

import numpy as np
import pytest

from inc_core import Distillation
from inc_core.errors import ConfigError
from inc_core.testing.toy import ToyAccuracy, make_classifier
from tests.unit.facade.training_loops import loader_of, make_train


@pytest.fixture
def teacher():
    return make_classifier()


@pytest.fixture
def student(teacher):
    """Return the teacher with noise on its weights."""
    rng = np.random.default_rng(0)
    return teacher.with_nodes(
        type(node)(
            node.name,
            node.type,
            node.inputs,
            {
                k: a + rng.normal(0, 0.15, a.shape).astype(np.float32)
                for k, a in node.arrays.items()
            },
        )
        for node in teacher.nodes
        if node.type == "Linear"
    )


@pytest.fixture
def make_distillation(plugins, teacher, student):
    def make(conf=None):
        distill = Distillation(conf, plugins=plugins)
        distill.student_model, distill.teacher_model = student, teacher
        distill.eval_dataloader = loader_of(teacher)
        distill.metric = ToyAccuracy
        return distill

    return make


def test_the_student_learns_from_the_teacher_alone(make_distillation, teacher):
    conf = {
        "distillation": {
            "train": {
                "end_epoch": 8,
                "optimizer": {"SGD": {"learning_rate": 0.1}},
                "criterion": {"KnowledgeDistillationLoss": {"loss_weights": [0.0, 1.0]}},
            }
        }
    }
    distill = make_distillation(conf)
    distill.train_dataloader = [(x, np.zeros_like(y)) for x, y in loader_of(teacher)]
    trained = distill.fit()
    assert trained.accuracy > trained.baseline


def test_the_best_epoch_is_returned(make_distillation, teacher):
    distill = make_distillation()

    def train(net):
        make_train(distill, loader_of(teacher), epochs=3, rate=0.05, distill=True)(net)
        net.arrays["fc3", "weight"][...] = 0  # what comes later is worse
        distill.on_epoch_end()

    distill.train_func = train
    trained = distill.fit()
    assert trained.accuracy >= trained.baseline


def test_without_a_teacher_is_an_error(make_distillation):
    distill = make_distillation()
    distill.teacher_model = None
    distill.train_func = lambda net: None
    with pytest.raises(ConfigError, match="no teacher: set teacher_model"):
        distill.fit()


def test_student_model_is_another_name_of_model(make_distillation, student):
    assert make_distillation().model is student
