"""A click in 1 megapixel against a click in 10 gigapixels; memory while clicking all over.

The large image is a zarr array of 100,000 x 100,000 pixels of 16 bits whose chunks are made when
they are read, from a shipped sample, mirrored without end. The small one holds some of the same
pixels as a NumPy array.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inter2former.benchmark._large_images import Endless, grey_sample
from napari_inter2former.benchmark._objects import seams, sizes
from napari_inter2former.benchmark._result import Result
from napari_inter2former.errors import Inter2FormerError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["endless_zarr", "run"]

SIDE = 100_000
SMALL = 1000
CHUNK = 1024
CORNER = (49_920, 57_600)
"""Where the small image lies in the large one: on the grid of windows of any size up to 1024."""
SAMPLE = "nuclei_fluorescence"


def run(quick: bool) -> list[Result]:
    """Measure first clicks and memory.

    Parameters
    ----------
    quick : bool
        Whether to make fewer clicks.

    Returns
    -------
    list of Result
        ``first-click/1k`` and ``first-click/100k``: ``set_image`` and the first click, everything
        encoded anew; ``same_zoom`` counts the clicks that both drew at one zoom. ``rss-mb/100k``:
        the highest memory of a process that clicks all over the large image (figure ``value``, in
        megabytes); its ``ms`` is the time of one click. Figures of quality: see `sizes` and
        `seams`.

    Raises
    ------
    Inter2FormerError
        If zarr 3 is not installed.
    """
    from napari_inter2former.predictor import Predictor

    results = first_clicks(5 if quick else 21)
    predictor = Predictor("tiny")
    results += sizes(predictor, quick) + seams(predictor, quick)
    del predictor
    # A process of its own: memory that was used before must not count.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        figures = pool.submit(click_all_over, 20 if quick else 200).result()
    results.append(
        Result(
            suite="scale",
            name="rss-mb/100k",
            preset="tiny",
            size=SIDE,
            ms=figures.pop("ms"),
            figures=figures,
        )
    )
    return results


def first_clicks(repeats: int) -> list[Result]:
    """Time ``set_image`` plus a first click in both images, in turn."""
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.prompts import Click
    from napari_inter2former.weights import load_model

    model = load_model("tiny")
    large = endless_zarr(SIDE)
    row, column = CORNER
    small = np.asarray(large[row : row + SMALL, column : column + SMALL])
    objects = _object_centres()[: max(3, repeats)]
    times: dict[str, list[float]] = {"1k": [], "100k": []}
    zooms: dict[str, list[float]] = {"1k": [], "100k": []}
    for number in range(-1, repeats):
        r, c = objects[number % len(objects)]
        for name, image, at in (
            ("1k", small, (r, c)),
            ("100k", large, (r + row, c + column)),
        ):
            predictor = Predictor(model)
            start = time.perf_counter()
            predictor.set_image(image)
            mask = predictor.predict([Click(at[0], at[1])])
            if number >= 0:  # the first round warms up
                times[name].append(time.perf_counter() - start)
                zooms[name].append(mask.zoom)
    medians = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    # Where a wider look is taken, the small image ends sooner.
    same = [a == b for a, b in zip(zooms["1k"], zooms["100k"], strict=True)]
    return [
        Result(
            suite="scale",
            name=f"first-click/{name}",
            preset="tiny",
            size=size,
            ms=medians[name],
            reference="" if name == "1k" else "first-click/1k",
            reference_ms=None if name == "1k" else medians["1k"],
            figures={"clicks": len(same), "same_zoom": sum(same)},
        )
        for name, size in (("1k", SMALL), ("100k", SIDE))
    ]


def click_all_over(clicks: int) -> dict[str, Any]:
    """Click objects everywhere in the large image; return times and memory.

    Returns
    -------
    dict
        ``value``: peak memory of this process in MB; ``cache_mb`` and ``cache_bound_mb``: features
        in memory at the end, and their bound; ``clicks``; ``ms``: median of a click.
    """
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.prompts import Click

    bound = 256 << 20
    predictor = Predictor("tiny", cache_bytes=bound)
    predictor.set_image(endless_zarr(SIDE))
    period = [2 * n for n in _sample().shape]
    objects = _object_centres()
    rng = np.random.default_rng(0)
    times, most = [], 0
    for number in range(clicks):
        # The sample repeats: the same object, anywhere in the image.
        at: list[int] = []
        for length, place in zip(period, objects[number % len(objects)], strict=True):
            corner = CORNER[len(at)] + place
            turns = range(-(corner // length), (SIDE - 1 - corner) // length + 1)
            at.append(corner + length * int(rng.integers(turns[0], turns[-1] + 1)))
        start = time.perf_counter()
        predictor.predict([Click(at[0], at[1])])
        times.append(time.perf_counter() - start)
        most = max(most, predictor.cache_nbytes)
    return {
        "value": _peak_bytes() / 1e6,
        "clicks": clicks,
        "cache_mb": most / 1e6,
        "cache_bound_mb": bound / 1e6,
        "ms": 1e3 * statistics.median(times),
    }


def endless_zarr(side: int) -> Any:
    """Make a square zarr array whose chunks come into being when they are read.

    Parameters
    ----------
    side : int
        Length in pixels.

    Returns
    -------
    zarr.Array of uint16
        In memory, empty but for its description.

    Raises
    ------
    Inter2FormerError
        If zarr 3 is not installed.
    """
    try:
        import zarr
        from zarr.storage import MemoryStore, WrapperStore
    except ImportError as error:
        raise Inter2FormerError(
            'The suite "scale" needs zarr 3 or newer: pip install "napari-inter2former[files]".'
        ) from error

    pixels = Endless(_sample(), (side, side))

    class Generated(WrapperStore[MemoryStore]):
        """Chunks cut from the mirrored sample."""

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            parts = key.split("/")
            if parts[0] != "c":
                return await super().get(key, prototype, byte_range)
            row, column = (int(part) * CHUNK for part in parts[1:])
            chunk = pixels[row : row + CHUNK, column : column + CHUNK].astype("<u2", copy=False)
            rest = CHUNK - chunk.shape[0], CHUNK - chunk.shape[1]
            if any(rest):
                chunk = np.pad(chunk, ((0, rest[0]), (0, rest[1])))
            return prototype.buffer.from_array_like(chunk.reshape(-1).view(np.uint8))

    return zarr.create_array(
        store=Generated(MemoryStore()),
        shape=(side, side),
        chunks=(CHUNK, CHUNK),
        dtype="<u2",
        compressors=None,
        filters=None,
    )


def _sample() -> npt.NDArray[np.uint16]:
    return grey_sample(SAMPLE)[0].astype(np.uint16) * 16


def _object_centres() -> list[tuple[int, int]]:
    """Pixels in the middle of objects of the small image, away from its edges."""
    import cv2

    labels = Endless(grey_sample(SAMPLE)[1], (SIDE, SIDE))
    row, column = CORNER
    field = labels[row : row + SMALL, column : column + SMALL]
    centres = []
    for number in np.unique(field[field > 0]):
        depth = cv2.distanceTransform((field == number).astype(np.uint8), cv2.DIST_L2, 5)
        r, c = (int(i) for i in np.unravel_index(int(depth.argmax()), depth.shape))
        if depth[r, c] > 5 and 200 <= r < SMALL - 200 and 200 <= c < SMALL - 200:
            centres.append((r, c))
    return centres


def _peak_bytes() -> int:
    """Highest memory of this process so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    for result in run(quick="--quick" in sys.argv):
        print(result.to_dict())
