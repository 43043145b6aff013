"""Random shapes: maps of objects, each with a number of its own and 0 between them.

Every function takes the map's side in pixels, the objects' typical size (square root of the area,
in pixels) and a source of randomness, and returns an int32 map (side, side).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import deform, smooth_noise

LabelMap: TypeAlias = NDArray[np.int32]
Shape: TypeAlias = Callable[[int, float, np.random.Generator], LabelMap]

MOST = 70
"""Most objects in a map, for speed."""


def blank(side: int) -> LabelMap:
    """Return a map without objects."""
    return np.zeros((side, side), np.int32)


def how_many(side: int, size: float, rng: np.random.Generator, densest: float = 1.1) -> int:
    """Draw a number of objects by the share of the map that they cover."""
    share = rng.uniform(0.1, densest)
    return int(np.clip(share * (side / size) ** 2, 2, MOST))


def outlines(
    count: int, side: int, size: float, rng: np.random.Generator, corners: int = 0
) -> list[NDArray[np.int32]]:
    """Draw closed outlines at random places, with one character in common.

    Parameters
    ----------
    count : int
        Number of outlines.
    side, size : float
        Of the map and of the objects, in pixels.
    rng : numpy.random.Generator
        Source of randomness.
    corners : int
        0 for smooth outlines; else the number of corners of polygons.

    Returns
    -------
    list of ndarray
        int32 (n, 1, 2), columns and rows.
    """
    points = corners or 36
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    if corners:
        angles = angles + rng.uniform(-0.35, 0.35, (count, points)) * (2 * np.pi / points)
        log_radius = rng.normal(0, 0.1, (count, points))
    else:
        harmonics = np.arange(2, 7)
        weights = rng.normal(0, 1, (count, 5)) * rng.uniform(0, 0.5) / harmonics
        phases = rng.uniform(0, 2 * np.pi, (count, 5, 1))
        waves = np.cos(harmonics[:, None] * angles + phases)
        log_radius = (weights[..., None] * waves).sum(1)
        if rng.random() < 0.2:  # lobes or spikes
            lobes = rng.integers(3, 8, (count, 1))
            wave = np.maximum(np.cos((angles + rng.uniform(0, 6, (count, 1))) * lobes / 2), 0)
            log_radius = log_radius + rng.uniform(0.3, 1.2) * wave ** rng.integers(1, 6)
    sizes = size * np.exp(rng.normal(0, rng.uniform(0.05, 0.5), (count, 1)))
    radius = 0.56 * sizes * np.exp(log_radius)
    long = np.exp(np.abs(rng.normal(0, rng.choice([0.1, 0.3, 0.6]), (count, 1))))
    x, y = radius * np.cos(angles) * np.sqrt(long), radius * np.sin(angles) / np.sqrt(long)
    common = rng.uniform(0, np.pi)
    turn = common + rng.normal(0, rng.choice([0.1, 3]), (count, 1))
    across, along = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    places = centres(count, side, size, rng)
    shape = np.stack((across, along), -1) + places[:, None]
    return list(np.round(shape).astype(np.int32)[:, :, None])


def centres(count: int, side: int, size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw places: scattered, in clumps, or spread out evenly. (count, 2)."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.uniform(0, side, (count, 2))
    if kind == 1:
        clumps = rng.uniform(0, side, (max(count // 6, 1), 2))
        return clumps[rng.integers(len(clumps), size=count)] + rng.normal(0, 1.3 * size, (count, 2))
    cells = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.divmod(rng.permutation(cells**2)[:count], cells), -1) + 0.5
    return (grid + rng.uniform(-0.4, 0.4, (count, 2))) * (side / cells)


def blobs(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Round, irregular, elongated or lobed objects: cells, nuclei, vesicles, particles."""
    canvas = blank(side)
    for i, outline in enumerate(outlines(how_many(side, size, rng), side, size, rng), start=1):
        cv2.fillPoly(canvas, [outline], i)
    return canvas


def crystals(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Polygons: crystals, flakes, precipitates."""
    canvas = blank(side)
    count, corners = how_many(side, size, rng), int(rng.integers(3, 8))
    for i, outline in enumerate(outlines(count, side, size, rng, corners), start=1):
        cv2.fillPoly(canvas, [outline], i)
    return canvas


def leaves(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Objects of all sizes, one over the other, everywhere (dead leaves), as in photographs."""
    canvas = blank(side)
    number = 0
    for factor, count in ((2.2, 8), (1.3, 12), (0.7, 20)):
        corners = int(rng.integers(3, 7)) if rng.random() < 0.3 else 0
        for outline in outlines(count, side, size * factor, rng, corners):
            number += 1
            cv2.fillPoly(canvas, [outline], number)
    return canvas


def voronoi(
    side: int, size: float, rng: np.random.Generator
) -> tuple[LabelMap, NDArray[np.float32]]:
    """Return the cells of random points, and each pixel's distance to its point."""
    count = int(np.clip((side / size) ** 2 * rng.uniform(0.8, 1.3), 3, 3 * MOST))
    places = np.clip(centres(count, side, size, rng), 0, side - 1).astype(int)
    seeds = np.ones((side, side), np.uint8)
    seeds[places[:, 0], places[:, 1]] = 0
    distance, cells = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return np.asarray(cells, np.int32), np.asarray(distance, np.float32)


def tissue(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Cells that fill the plane, with or without walls, with some missing: tissue, grains."""
    cells, _ = voronoi(side, size, rng)
    if rng.random() < 0.7:
        cells = deform(cells, rng.uniform(0.02, 0.25), rng)
    wall = rng.choice([0, 0, 1, 2, 3]) + (rng.random() < 0.2) * size * rng.uniform(0, 0.15)
    if wall > 0:
        field = smooth_noise(side, size, rng) * np.float32(0.3 * wall * rng.random())
        cells = np.where(depth(cells) + field > wall, cells, 0)
    missing = rng.random(cells.max() + 1) < rng.choice([0, 0, 0.2, 0.5])
    return np.asarray(np.where(missing[cells], 0, cells), np.int32)


def colonies(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Round objects that press against each other."""
    cells, distance = voronoi(side, size * rng.uniform(0.8, 1.6), rng)
    radius = size * np.exp(rng.normal(0, 0.15, cells.max() + 1)) * rng.uniform(0.5, 0.75)
    inside = distance < radius.astype(np.float32)[cells]
    cells = np.asarray(np.where(inside, cells, 0), np.int32)
    return deform(cells, rng.uniform(0, 0.1), rng) if rng.random() < 0.6 else cells


def walk(
    start: NDArray[np.float64], angle: float, step: float, count: int, bend: float,
    rng: np.random.Generator,
) -> NDArray[np.int32]:  # fmt: skip
    """Return a smooth random path (count + 1, 1, 2), columns and rows."""
    curve = np.cumsum(rng.normal(0, bend, count))
    angles = angle + np.cumsum(curve) * 0.5 + curve
    moves = step * np.stack((np.cos(angles), np.sin(angles)), -1)
    path = start + np.vstack((np.zeros((1, 2)), np.cumsum(moves, 0)))
    return np.round(path).astype(np.int32)[:, None]


def rods(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Rods, bent or straight, alone or in chains, like bacteria."""
    canvas = blank(side)
    aspect = rng.uniform(1.5, 8)
    width = max(size / np.sqrt(aspect), 3)
    length = width * aspect
    chain = int(rng.choice([1, 1, 2, 4]))
    bend = rng.uniform(0, 0.15)
    common, spread = rng.uniform(0, np.pi), rng.choice([0.2, 3])
    count = max(how_many(side, size, rng, 0.8) // chain, 1)
    number = 0
    for place in centres(count, side, size, rng):
        angle = rng.normal(common, spread)
        for _ in range(int(rng.integers(1, chain + 1))):
            number += 1
            own = length * np.exp(rng.normal(0, 0.25))
            path = walk(place, angle, own / 4, 4, bend, rng)
            cv2.polylines(canvas, [path], False, number, max(round(width), 2))
            last = (path[-1] - path[-2])[0].astype(float)
            angle = float(np.arctan2(last[1], last[0])) + rng.normal(0, 0.25)
            place = path[-1, 0] + (width + 2) * np.array([np.cos(angle), np.sin(angle)])
    return canvas


def packed(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Rods side by side and end to end, in patches of one direction: colonies of bacteria.

    Such a colony looks like one object from afar; what is asked for is one of the rods.
    """
    aspect = rng.uniform(1.3, 6)
    width = max(size / np.sqrt(aspect), 4)
    length = width * aspect
    patches, _ = voronoi(side, length * np.exp(rng.uniform(0.7, 2.5)), rng)
    turn = rng.normal(rng.uniform(0, np.pi), rng.choice([0.3, 3]), patches.max() + 1)
    bend = np.float32(rng.uniform(0, 0.3) * size)
    rows, columns = np.mgrid[:side, :side] + bend * np.stack(
        [smooth_noise(side, 3 * length, rng) for _ in range(2)]
    )
    across = (np.cos(turn)[patches] * rows - np.sin(turn)[patches] * columns) / width
    along = (np.cos(turn)[patches] * columns + np.sin(turn)[patches] * rows) / length
    # Lanes of one patch, each with rods of its own: `ends` holds where these begin.
    lanes = np.floor(across).astype(int)
    lane = (lanes - lanes.min()) + patches * (np.ptp(lanes) + 1)
    along += rng.uniform(1, 2, lane.max() + 1)[lane] - along.min()
    ends = np.arange(along.max() + 2) + rng.uniform(-0.3, 0.3, (lane.max() + 1, 1))
    ends += rng.uniform(-0.3, 0.3, ends.shape)
    place = along.astype(int)
    place += (along >= ends[lane, place + 1]).astype(int) - (along < ends[lane, place])
    first, last = ends[lane, place] * length, ends[lane, place + 1] * length
    # Half discs at both ends.
    beyond = np.abs(along * length - (first + last) / 2) - (last - first - width) / 2
    away = np.hypot(np.maximum(beyond, 0), (across - lanes - 0.5) * width)
    inside = away < width * rng.uniform(0.38, 0.5) - 0.3
    labels = np.where(inside, lane * ends.shape[1] + place + 1, 0)
    areas = np.bincount(labels.ravel())
    keep = areas > 0.3 * size**2  # not what patches cut off
    keep[0] = False
    if rng.random() < 0.7:  # a colony, or several
        field = smooth_noise(side, side * rng.uniform(0.25, 0.7), rng)
        reach = np.bincount(labels.ravel(), field.ravel()) / np.maximum(areas, 1)
        keep &= reach > rng.uniform(-1, 0.6)
    return np.where(keep, np.cumsum(keep), 0)[labels].astype(np.int32)


def filaments(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Long thin objects that cross: filaments, fibres, hyphae, worms."""
    canvas = blank(side)
    width = float(np.clip(size * rng.uniform(0.06, 0.25), 2, 16))
    count = int(rng.integers(1, 14))
    bend = rng.uniform(0.02, 0.3)
    step = max(size / 3, 5)
    steps = int(rng.integers(6, 24))
    for i, place in enumerate(rng.uniform(0, side, (count, 2)), start=1):
        path = walk(place, rng.uniform(0, 2 * np.pi), step, steps, bend, rng)
        cv2.polylines(canvas, [path], False, i, max(round(width * rng.uniform(0.7, 1.3)), 2))
    return canvas


def branched(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Bodies with thin branched arms: neurons, glia, fibroblasts."""
    canvas = blank(side)
    count = int(np.clip((side / size) ** 2 * rng.uniform(0.1, 0.45), 1, 14))
    body, width = size * rng.uniform(0.25, 0.6), max(size * rng.uniform(0.04, 0.14), 2)
    arms, bend = int(rng.integers(2, 8)), rng.uniform(0.02, 0.25)
    reach = size * rng.uniform(0.6, 1.6)
    outline = outlines(count, side, body, rng)
    for i, soma in enumerate(outline, start=1):
        cv2.fillPoly(canvas, [soma], i)
        middle = soma.mean((0, 1))
        for angle in rng.uniform(0, 2 * np.pi) + np.arange(arms) * 2 * np.pi / arms:
            own = angle + rng.normal(0, 0.4)
            path = walk(middle, own, reach * rng.uniform(0.5, 1.2) / 8, 8, bend, rng)
            for k in range(4):  # tapering
                thickness = max(round(width * (1.6 - 0.35 * k)), 1)
                cv2.polylines(canvas, [path[2 * k : 2 * k + 3]], False, i, thickness)
            if rng.random() < 0.5:
                fork = path[int(rng.integers(3, 8)), 0]
                twig = walk(fork, own + rng.choice([-0.7, 0.7]), reach / 12, 5, bend, rng)
                cv2.polylines(canvas, [twig], False, i, max(round(width * 0.6), 1))
    return canvas


def patches(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Amorphous regions, the islands of a smooth field: organelles, pores, phases, stains."""
    stretch = float(np.exp(rng.normal(0, 0.4)))
    field = smooth_noise(side, size * 0.9, rng, stretch)
    if rng.random() < 0.5:
        field = field + np.float32(0.25) * smooth_noise(side, max(size / 4, 2), rng)
    high = (field > np.float32(rng.uniform(-0.2, 1.0))).astype(np.uint8)
    return np.asarray(cv2.connectedComponents(high, connectivity=4)[1], np.int32)


def depth(labels: LabelMap) -> NDArray[np.float32]:
    """Return each pixel's distance to the nearest pixel of another label, from 1 on, as float32."""
    x = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    same = (cv2.dilate(x, kernel) == cv2.erode(x, kernel)).astype(np.uint8)
    distance = cv2.distanceTransform(same, cv2.DIST_L2, 3)
    # A single label has no border, and endless distances.
    return np.asarray(np.minimum(distance, len(labels)), np.float32) + np.float32(1)


def relative_depth(labels: LabelMap, deep: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `depth` in units of the radius of a disc of each object's area."""
    radius = np.sqrt(np.bincount(labels.ravel()) / np.pi).astype(np.float32)
    return np.asarray(deep / np.maximum(radius, 1)[labels], np.float32)


SHAPES: dict[Shape, float] = {
    blobs: 0.16,
    colonies: 0.08,
    tissue: 0.09,
    rods: 0.09,
    packed: 0.18,
    filaments: 0.13,
    branched: 0.12,
    patches: 0.05,
    crystals: 0.05,
    leaves: 0.05,
}
"""All shapes and how often they are drawn."""


def draw_shapes(side: int, size: float, rng: np.random.Generator) -> LabelMap:
    """Draw a map of one kind of shape."""
    chosen = rng.choice(len(SHAPES), p=list(SHAPES.values()))
    labels = list(SHAPES)[chosen](side, size, rng)
    return deform(labels, rng.uniform(0.02, 0.2), rng) if rng.random() < 0.2 else labels
