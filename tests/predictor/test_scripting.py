"""Labels from clicks, on arrays and on layers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from napari_inter2former._sparse import SparseLabels
from napari_inter2former.errors import ImageError, Inter2FormerError, PromptError
from napari_inter2former.images import as_image_source
from napari_inter2former.predictor import Predictor
from napari_inter2former.prompts import Click
from napari_inter2former.scripting import paint, segment, segment_layers


@pytest.fixture
def image(disc):
    return (disc((90, 120), 30, 30, 12) | disc((90, 120), 60, 90, 15)).astype(np.uint8) * 200


def layer(**fields):
    return SimpleNamespace(**fields)


def test_segment_numbers_objects_by_their_keys(fake, image):
    seen = []
    labels = segment(
        image,
        {7: [Click(30, 30)], 2: [Click(60, 90), Click(5, 5, False)]},
        fake,
        progress=lambda label, mask: seen.append((label, mask.area)),
    )
    assert labels.dtype == np.int32
    assert labels.shape == image.shape
    assert (labels[30, 30], labels[60, 90], labels[0, 0]) == (7, 2, 0)
    assert [label for label, _ in seen] == [7, 2]
    assert np.count_nonzero(labels == 7) == seen[0][1]


def test_earlier_objects_win(fake, image):
    labels = segment(image, {1: [Click(30, 30)], 2: [Click(30, 30), Click(60, 90)]}, fake)
    assert labels[30, 30] == 1
    assert labels[60, 90] == 2
    predictor = Predictor(fake)
    predictor.set_image(image)
    mask = predictor.predict([Click(30, 30)])
    before = labels.copy()
    assert paint(labels, mask, 9) == mask.area
    np.testing.assert_array_equal(labels, before)


def test_labels_go_where_they_are_wanted(fake, image):
    """Into anything that slices, box by box; channels are chosen as for the predictor."""
    clicks = {7: [Click(30, 30)], 2: [Click(60, 90)]}
    expected = segment(image, clicks, fake)
    sparse = SparseLabels(image.shape)
    assert segment(image, clicks, fake, out=sparse) is sparse
    np.testing.assert_array_equal(sparse[...], expected)
    two = np.stack([np.zeros_like(image), image])
    chosen = segment(two, clicks, fake, channel_axis=0, channels=["ignore", "use"])
    np.testing.assert_array_equal(chosen, expected)
    with pytest.raises(Inter2FormerError, match=r"\(90, 121\), and the image \(90, 120\)"):
        segment(image, clicks, fake, out=np.zeros((90, 121), int))
    labels = np.zeros((90, 120), np.uint8)
    with pytest.raises(Inter2FormerError, match="Object 300 has no place in labels of type uint8"):
        segment(image, {1: clicks[min(clicks)], 300: clicks[min(clicks)]}, fake, out=labels)
    assert not labels.any()


def test_messages_name_the_object(fake, image):
    with pytest.raises(PromptError, match=r"Object 4: .*outside the image"):
        segment(image, {4: [Click(500, 0)]}, fake)
    for key in (0, -1, 2**31, 1.5, "a"):
        with pytest.raises(PromptError, match="whole number"):
            segment(image, {key: [Click(1, 1)]}, fake)
    assert not segment(image, {}, fake).any()


def test_layers(fake, image):
    features = pd.DataFrame({"object": [3, 1, 3], "positive": [True, True, False]})
    points = layer(data=np.array([[30, 30], [60, 90], [0, 0]]), features=features)
    labels = segment_layers(layer(data=image, rgb=False, multiscale=False), points, fake)
    assert (labels[30, 30], labels[60, 90]) == (3, 1)
    labels = segment_layers(layer(data=image), layer(data=points.data[:2]), fake)
    assert (labels[30, 30], labels[60, 90]) == (1, 2)


def test_rgb_multiscale_and_stacks(fake, image):
    points = layer(data=[[30, 30]], features={"object": [5]})
    rgb = np.repeat(image[..., None], 4, axis=2)
    assert segment_layers(layer(data=rgb, rgb=True), points, fake)[30, 30] == 5
    pyramid = [image, image[::2, ::2]]
    assert segment_layers(layer(data=pyramid, multiscale=True), points, fake)[30, 30] == 5
    stack = np.stack([image * 0, image, image])
    points = layer(data=[[1, 30, 30], [2.2, 60, 90]], features={"object": [5, 5]})
    labels = segment_layers(layer(data=stack), points, fake)
    assert labels.shape == stack.shape
    assert (labels[1, 30, 30], labels[1, 60, 90], labels[2, 60, 90]) == (5, 0, 5)
    assert not labels[0].any()


def test_real_layers_with_scale_and_shift(fake, image):
    layers = pytest.importorskip("napari.layers")
    picture = layers.Image(image, scale=(2, 2), translate=(10, 0))
    points = layers.Points(np.array([[70, 60.0]]), features={"object": [6], "positive": [True]})
    labels = segment_layers(picture, points, fake)
    assert labels[30, 30] == 6
    multiscale = layers.Image([image, image[::2, ::2]], multiscale=True)
    points = layers.Points(np.array([[30.0, 30]]))
    assert segment_layers(multiscale, points, fake)[30, 30] == 1


@pytest.mark.parametrize(
    ("data", "features", "message"),
    [
        (np.zeros((0, 2)), None, "empty"),
        ([[1, 2, 3]], None, "coordinates"),
        ([[1]], None, "coordinates"),
        ([[np.nan, 2]], None, "finite"),
        ([[1, 2]], {"object": [0]}, "whole number"),
        ([[1, 2]], {"object": [np.nan]}, "whole number"),
        ([[1, 2]], {"object": [1, 2]}, "values"),
        ([[1, 2]], {"object": [1], "positive": ["maybe"]}, "True or False"),
        ([[1, 2]], {"object": [1], "positive": [None]}, "True or False"),
        ([[1, 2], [1, 900]], {"object": [1, 8]}, "Object 8"),
    ],
)
def test_bad_points(fake, image, data, features, message):
    with pytest.raises(PromptError, match=message):
        segment_layers(layer(data=image), layer(data=data, features=features), fake)


def test_bad_layers(fake, image):
    with pytest.raises(Inter2FormerError):
        segment_layers(layer(data=np.zeros(4)), layer(data=[[1, 2]]), fake)
    with pytest.raises(ImageError, match="complex"):
        segment_layers(layer(data=image.astype(complex)), layer(data=[[1, 2]]), fake)
    stack = np.stack([image, image])
    with pytest.raises(PromptError, match=r"plane \(2,\)"):
        segment_layers(layer(data=stack), layer(data=[[2, 3, 3]]), fake)
    with pytest.raises(PromptError, match="Plane 1: Object 1"):
        segment_layers(layer(data=stack), layer(data=[[1, 3, 900]]), fake)


def test_text_from_a_csv_is_understood(fake, image):
    features = {"object": ["2", "2"], "positive": ["True", "false"]}
    points = layer(data=[[30, 30], [60, 90]], features=features)
    labels = segment_layers(layer(data=image), points, fake)
    assert (labels[30, 30], labels[60, 90]) == (2, 0)


def test_a_pyramid_may_be_coarser_along_the_stack(fake):
    fine = np.zeros((10, 64, 64), np.uint8)
    fine[8, 20:40, 20:40] = 200
    coarse = fine[::2, ::2, ::2]
    points = layer(data=np.array([[8.0, 30, 30]]), features={})
    labels = segment_layers(layer(data=[fine, coarse], multiscale=True), points, fake)
    assert labels[8, 30, 30] == 1
    assert not labels[:8].any()


def test_a_contrast_beside_an_opened_image_is_refused(image):
    source = as_image_source(image)
    assert as_image_source(source) is source
    with pytest.raises(ImageError, match="has a contrast and channels already"):
        as_image_source(source, normalization=source.normalization)
