"""Data loaders from configurations."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.config.types import ComponentConfig, DataLoaderConfig
from inc_core.data.build import build_dataloader
from inc_core.errors import ComponentNotFoundError, ConfigError, DataError
from inc_core.hookspecs._markers import hookimpl
from inc_core.plugin import Plugins


class Numbers:
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return np.float32(index), index


class NumbersOfTheSeed:
    """Indexed, with ``len``."""

    def __init__(self, size):
        self.size = size

    def len(self):
        return self.size

    def __getitem__(self, index):
        return np.float32(index), index


class NumberStream:
    """Read in order only."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter((np.float32(index), index) for index in range(self.size))


class Unlabelled(Numbers):
    def __getitem__(self, index):
        return np.float32(index)


class SelfTransforming(Numbers):
    def __init__(self, size, transform=None, filter=None):
        super().__init__(size)
        self.transform, self.filter = transform, filter

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return self.transform(sample) if self.transform else sample


class Even:
    def __call__(self, inputs, label):
        return int(inputs) % 2 == 0


class Add:
    def __init__(self, amount):
        self.amount = amount

    def __call__(self, sample):
        return sample[0] + np.float32(self.amount), sample[1]


class Double:
    def __call__(self, sample):
        return sample[0] * 2, sample[1]


class Plugin:
    @hookimpl
    def inc_datasets(self):
        return {
            "numbers": Numbers,
            "seed": NumbersOfTheSeed,
            "stream": NumberStream,
            "unlabelled": Unlabelled,
            "own": SelfTransforming,
        }

    @hookimpl
    def inc_transforms(self):
        return {"Even": Even, "Add": Add, "Double": Double}


@pytest.fixture(scope="module")
def plugins():
    return Plugins.of(Plugin())


def config(dataset="numbers", size=5, **fields):
    return DataLoaderConfig(ComponentConfig(dataset, {"size": size}), batch_size=2, **fields)


def inputs_of(loader):
    return np.concatenate([inputs for inputs, _ in loader]).tolist()


ADD_THEN_DOUBLE = (ComponentConfig("Add", 1), ComponentConfig("Double"))
DATASETS = ["numbers", "seed", "stream", "unlabelled", "own"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_transforms_are_applied_in_order(plugins, dataset):
    loader = build_dataloader(config(dataset, transforms=ADD_THEN_DOUBLE), plugins)
    assert inputs_of(loader) == inputs_of(loader) == [2, 4, 6, 8, 10]


def test_a_dataset_that_takes_transforms_gets_them(plugins):
    loader = build_dataloader(config("own", transforms=ADD_THEN_DOUBLE), plugins)
    assert isinstance(loader.dataset, SelfTransforming)
    assert loader.dataset.transform is not None


def test_a_dataset_that_takes_a_filter_gets_it(plugins):
    loader = build_dataloader(config("own", filter=ComponentConfig("Even")), plugins)
    assert isinstance(loader.dataset.filter, Even)


@pytest.mark.parametrize("dataset", ["numbers", "seed", "stream", "unlabelled"])
def test_a_filter_sees_samples_before_transforms(plugins, dataset):
    loader = build_dataloader(
        config(dataset, transforms=(ComponentConfig("Add", 1),), filter=ComponentConfig("Even")),
        plugins,
    )
    assert inputs_of(loader) == inputs_of(loader) == [1, 3, 5]


def test_labels_go_through(plugins):
    loader = build_dataloader(config(transforms=ADD_THEN_DOUBLE), plugins)
    assert np.concatenate([labels for _, labels in loader]).tolist() == [0, 1, 2, 3, 4]


def test_no_labels_stay_none(plugins):
    loader = build_dataloader(config("unlabelled", transforms=ADD_THEN_DOUBLE), plugins)
    assert next(iter(loader))[1] is None


def test_length_is_kept_where_there_is_one(plugins):
    assert len(build_dataloader(config("seed", transforms=ADD_THEN_DOUBLE), plugins)) == 3


def test_loader_settings_are_kept(plugins):
    loader = build_dataloader(config(last_batch="discard", shuffle=True), plugins)
    assert (loader.batch_size, loader.last_batch, loader.shuffle) == (2, "discard", True)
    assert len(list(loader)) == 2


def test_transformed_data_can_be_shuffled(plugins):
    loader = build_dataloader(config(transforms=ADD_THEN_DOUBLE, shuffle=True), plugins)
    assert sorted(inputs_of(loader)) == [2, 4, 6, 8, 10]


def test_filtered_data_cannot_be_shuffled(plugins):
    with pytest.raises(DataError, match="shuffle=True needs"):
        build_dataloader(config(filter=ComponentConfig("Even"), shuffle=True), plugins)


def test_a_filter_that_keeps_nothing_is_named(plugins):
    loader = build_dataloader(config(size=0, filter=ComponentConfig("Even")), plugins)
    with pytest.raises(DataError, match=r"gives no sample\. Check its path, its filter"):
        list(loader)


def test_unknown_dataset_is_an_error(plugins):
    with pytest.raises(ComponentNotFoundError, match="numberz"):
        build_dataloader(config("numberz"), plugins)


def test_wrong_parameters_are_an_error(plugins):
    wrong = DataLoaderConfig(ComponentConfig("numbers", {"sise": 3}))
    with pytest.raises(ConfigError, match=r"unknown parameter 'sise'\. Did you mean 'size'"):
        build_dataloader(wrong, plugins)


@pytest.mark.parametrize(
    ("dataset", "samples"),
    [
        (ComponentConfig("dummy", {"shape": (10, 3), "label": True}), 10),
        (ComponentConfig("dummy_v2", {"input_shape": (3,)}), 256),
    ],
)
def test_built_in_datasets_can_be_named(plugins, dataset, samples):
    loader = build_dataloader(
        DataLoaderConfig(dataset, (ComponentConfig("Cast", "float64"),)), plugins
    )
    batches = list(loader)
    assert sum(len(labels) for _, labels in batches) == samples
    assert batches[0][0].dtype == np.float64
