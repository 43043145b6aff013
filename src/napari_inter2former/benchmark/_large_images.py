"""Large images made as they are read: a sample without end, and objects of any size on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_inter2former.predictor import Mask

__all__ = ["Endless", "Planted", "Scene", "grey_sample", "iou_of", "textures"]

Floats = npt.NDArray[np.float32]


def grey_sample(name: str) -> tuple[Floats, npt.NDArray[np.integer[Any]]]:
    """Image in grey and labels of a shipped sample."""
    from napari_inter2former.data import load_sample

    sample = load_sample(name)
    image = sample.image.astype(np.float32)
    return image.mean(axis=2) if image.ndim == 3 else image, sample.labels


class Endless:
    """A picture and its mirror images, repeated without end; read like an array.

    Parameters
    ----------
    picture : array, (h, w)
        What is repeated.
    shape : tuple of int
        Of the whole.
    origin : tuple of int
        Where the picture's first pixel lies.
    """

    ndim = 2

    def __init__(
        self, picture: npt.NDArray[Any], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
    ) -> None:
        half = np.concatenate([picture, picture[::-1]])
        tile = np.concatenate([half, half[:, ::-1]], axis=1)
        self._period = tile.shape
        # Regions up to twice the period are one slice of this.
        self._tiles = np.tile(tile, (3, 3))
        self._origin = origin
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(picture.dtype)

    def __getitem__(self, index: tuple[slice, slice]) -> npt.NDArray[Any]:
        """Read a region: two slices."""
        cuts: list[slice | npt.NDArray[np.intp]] = []
        for part, length, origin, period in zip(
            index, self.shape, self._origin, self._period, strict=True
        ):
            start, stop, step = part.indices(length)
            first, count = (start - origin) % period, len(range(start, stop, step))
            if first + count * step <= 3 * period:
                cuts.append(slice(first, first + count * step, step))
            else:
                cuts.append((np.arange(start, stop, step) - origin) % period)
        rows, columns = cuts
        return np.ascontiguousarray(self._tiles[rows][:, columns])


@dataclass(frozen=True, eq=False)
class Planted:
    """An object of a picture, to be put into another at any size.

    Parameters
    ----------
    pixels, mask : array of float32, (h, w)
        How it looks; where it is, 0 to 1.
    centre : tuple of float
        (row, column) of its middle in the scene, image pixels.
    scale : float
        Scene pixels per pixel of `pixels`.
    """

    pixels: Floats
    mask: Floats
    centre: tuple[float, float]
    scale: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(r0, c0, r1, c1) in the scene that holds it."""
        (r, c), (h, w) = self.centre, (n * self.scale / 2 + 2 for n in self.mask.shape)
        return int(r - h), int(c - w), int(r + h) + 1, int(c + w) + 1

    def sampled(self, what: Floats, r0: int, r1: int, c0: int, c1: int) -> Floats | None:
        """Sample its pixels or mask in a region of the scene; None if it lies elsewhere."""
        box = self.box
        if r1 <= box[0] or r0 >= box[2] or c1 <= box[1] or c0 >= box[3]:
            return None
        lines = [
            ((np.arange(start, stop) + 0.5 - middle) / self.scale - 0.5 + size / 2)
            for start, stop, middle, size in (
                (r0, r1, self.centre[0], what.shape[0]),
                (c0, c1, self.centre[1], what.shape[1]),
            )
        ]
        map_x, map_y = np.meshgrid(lines[1].astype(np.float32), lines[0].astype(np.float32))
        return np.asarray(cv2.remap(what, map_x, map_y, cv2.INTER_LINEAR), np.float32)


class Scene:
    """A large image of objects on a background, made as it is read.

    Parameters
    ----------
    background : Endless
        In grey, 0 to 255.
    objects : sequence of Planted
        Later ones lie above earlier ones.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(self, background: Endless, objects: tuple[Planted, ...]) -> None:
        self._background = background
        self.objects = objects
        self.shape = background.shape

    def __getitem__(self, index: tuple[slice, slice]) -> npt.NDArray[np.uint8]:
        """Read a region: two slices without steps."""
        (r0, r1, _), (c0, c1, _) = (
            part.indices(n) for part, n in zip(index, self.shape, strict=True)
        )
        out = self._background[index].astype(np.float32)
        for planted in self.objects:
            mask = planted.sampled(planted.mask, r0, r1, c0, c1)
            pixels = planted.sampled(planted.pixels, r0, r1, c0, c1)
            if mask is not None and pixels is not None:
                out += mask * (pixels - out)
        return np.clip(out, 0, 255).astype(np.uint8)

    def truth(self, number: int) -> Mask:
        """Return the mask of an object."""
        from napari_inter2former.predictor._mask import cropped_mask

        planted = self.objects[number]
        r0, c0 = max(planted.box[0], 0), max(planted.box[1], 0)
        r1, c1 = min(planted.box[2], self.shape[0]), min(planted.box[3], self.shape[1])
        mask = planted.sampled(planted.mask, r0, r1, c0, c1)
        assert mask is not None
        return cropped_mask(mask > 0.5, r0, c0, (r0, c0), 1.0, 1.0)


def iou_of(mask: Mask, truth: Mask) -> float:
    """Intersection over union of two masks, from their boxes alone."""
    r0, c0 = max(mask.box[0], truth.box[0]), max(mask.box[1], truth.box[1])
    r1, c1 = min(mask.box[2], truth.box[2]), min(mask.box[3], truth.box[3])
    both = 0
    if r0 < r1 and c0 < c1:
        parts = [
            m.data[r0 - m.box[0] : r1 - m.box[0], c0 - m.box[1] : c1 - m.box[1]]
            for m in (mask, truth)
        ]
        both = int(np.count_nonzero(parts[0] & parts[1]))
    either = mask.area + truth.area - both
    return both / either if either else 1.0


def textures(
    shape: tuple[int, int], sizes: tuple[tuple[float, tuple[float, float]], ...]
) -> dict[str, Scene]:
    """Make scenes with one object of each size, synthetic and from the shipped samples.

    Parameters
    ----------
    shape : tuple of int
        Of the scenes.
    sizes : tuple of (size, (row, column))
        Largest side of each object in pixels, and where its middle lies.

    Returns
    -------
    dict of str to Scene
        ``"synthetic"`` and one for each sample.
    """
    from napari_inter2former.data import SAMPLES

    rng = np.random.default_rng(0)
    noise = rng.normal(60, 30, (700, 700)).astype(np.float32)
    ground = np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2), 0, 255)
    rows, columns = np.mgrid[-100:100, -100:100]
    angle = np.arctan2(rows, columns)
    blob = np.hypot(rows, columns) < 84 * (1 + 0.12 * np.sin(3 * angle) + 0.06 * np.cos(5 * angle))
    body = 150 + 4 * cv2.GaussianBlur(rng.normal(0, 30, blob.shape).astype(np.float32), (0, 0), 2)
    field, filling = (np.asarray(part, np.float32) for part in (ground, body))
    scenes = {"synthetic": _scene(field, filling, blob, shape, sizes)}
    for name in SAMPLES:
        image, labels = grey_sample(name)
        near = cv2.dilate((labels > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
        ground = cv2.inpaint(image.astype(np.uint8), near, 5, cv2.INPAINT_TELEA)
        ground = ground + rng.normal(0, 2, image.shape)
        pixels, mask = _largest_inside(image, labels)
        scenes[name] = _scene(ground.astype(np.float32), pixels, mask, shape, sizes)
    return scenes


def _scene(
    ground: Floats,
    pixels: Floats,
    mask: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    sizes: tuple[tuple[float, tuple[float, float]], ...],
) -> Scene:
    planted = []
    extent = max(int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1 for axis in (0, 1))
    for size, centre in sizes:
        # Shrunk by areas and enlarged smoothly, as a microscope of another magnification would.
        factor = min(4.0, size / extent)
        new = tuple(max(1, round(n * factor)) for n in mask.shape)
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        look, where = (
            np.asarray(cv2.resize(a, new[::-1], interpolation=how), np.float32)
            for a in (pixels, mask.astype(np.float32))
        )
        if factor > 1:
            look, where = (
                np.asarray(cv2.GaussianBlur(a, (0, 0), factor / 2), np.float32)
                for a in (look, where)
            )
        exact = (new[0] / mask.shape[0] + new[1] / mask.shape[1]) / 2
        scale = size / (extent * exact)
        planted.append(Planted(look, np.clip(where, 0, 1), centre, scale))
    return Scene(Endless(ground, shape), tuple(planted))


def _largest_inside(
    image: Floats, labels: npt.NDArray[np.integer[Any]]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Cut the largest object that does not touch the border, with a rim of 3 pixels."""
    border = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
    counts = np.bincount(labels.ravel())
    counts[list(border | {0})] = 0
    rows, columns = np.nonzero(labels == counts.argmax())
    part = (
        slice(max(rows.min() - 3, 0), rows.max() + 4),
        slice(max(columns.min() - 3, 0), columns.max() + 4),
    )
    return image[part], labels[part] == counts.argmax()
