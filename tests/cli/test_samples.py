from __future__ import annotations

import numpy as np
import pytest

from napari_inter2former.data import SAMPLES, load_sample, sample_folder
from napari_inter2former.evaluation import find_datasets, object_regions, select_objects
from napari_inter2former.evaluation.click_files import read_clicks


def test_samples(sample):
    assert sample.image.dtype == np.uint8
    assert sample.image.shape[:2] == sample.labels.shape
    assert sample.labels.dtype == np.uint16
    assert np.unique(sample.labels).tolist() == list(range(int(sample.labels.max()) + 1))
    assert sample.rgb == (sample.name == "nuclei_tissue")
    assert SAMPLES[sample.name] == sample.title


def test_recorded_clicks(sample):
    clicks = read_clicks(sample.clicks_path, sample.labels.shape)
    # Every object of at least 64 pixels, with at most three clicks, the first one on it.
    assert sorted(clicks) == list(object_regions(sample.labels, 64))
    for number, of_object in clicks.items():
        assert 1 <= len(of_object) <= 3
        assert of_object[0].positive
        for click in of_object:
            inside = sample.labels[int(click.row), int(click.column)] == number
            assert inside == click.positive


def test_the_samples_are_a_dataset():
    (source,) = find_datasets(sample_folder()).values()
    assert source.folder == sample_folder()
    assert len(select_objects(sample_folder()).objects) == len(SAMPLES)


def test_licence():
    text = (sample_folder() / "SOURCES.md").read_text(encoding="utf-8")
    assert "CC0" in text
    assert all(name in text for name in SAMPLES)


def test_unknown_sample():
    with pytest.raises(KeyError, match="nuclei_tissue"):
        load_sample("cats")
