"""The window that follows one object: where it lies, at which zoom, and when it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_inter2former.predictor import _hints as hints
from napari_inter2former.predictor import _windows as geometry
from napari_inter2former.predictor._drawing import Drawing, Extent, measure, to_mask
from napari_inter2former.predictor._features import WindowFeatures
from napari_inter2former.predictor._inputs import clicks_rect, in_window, pixel_of
from napari_inter2former.prompts import Prompt, flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_inter2former.images import ImageSource
    from napari_inter2former.predictor._disk_cache import StoredFeatures
    from napari_inter2former.predictor._engine import Engine
    from napari_inter2former.predictor._mask import Mask
    from napari_inter2former.predictor._windows import Rect, Window

__all__ = ["Follower", "State"]

MOST_CHANGES = 4
"""How often one prompt may move the window to another zoom."""
DOUBTFUL = 0.3
"""Below this stability the object may have another size than the window suits."""
CONVINCING = 0.45
"""From this stability on no other zoom is tried."""
SEARCH_STEP = 2
"""Zoom steps between the windows that are tried: an object looks right in a range of as many."""
NARROWING_STEPS = 3
"""Zoom steps that the window goes nearer, at most, where most of a mask was not the object."""


@dataclass(frozen=True, slots=True)
class State:
    """What is known after some prompts of an object.

    Parameters
    ----------
    window : Window
        Where the mask was drawn.
    reference : Tensor
        The reference mask of the window after the last prompt.
    extent : Extent
        Size and place of the object.
    mask : Mask
        In image pixels.
    stability : float
        How sure the network is of the mask's border, 0 to 1; see `Drawing`.
    narrowed : bool
        Whether a wider look has taken the object for part of something larger, as it would again:
        the mask is then carried along when the window moves, and not drawn anew.
    """

    window: Window
    reference: Tensor
    extent: Extent
    mask: Mask
    stability: float
    narrowed: bool = False


class Follower:
    """Take prompts of objects of one image in, one by one.

    All that it decides follows from the image, the prompts and the previous mask alone. Its
    `features` are those of the image's windows.

    Parameters
    ----------
    source : ImageSource
        The image.
    side : int
        Largest side of a window, input pixels.
    engine : Engine
        Encodes and decodes.
    stored : StoredFeatures, optional
        Features on disk.
    """

    def __init__(
        self,
        source: ImageSource,
        side: int,
        engine: Engine,
        stored: StoredFeatures | None = None,
    ) -> None:
        self.source = source
        self.side = side
        self.features = WindowFeatures(source, engine, stored)
        self._engine = engine

    def first_window(
        self,
        clicks: Rect,
        previous: Mask | None,
        start: int | None,
        frame: Rect | None = None,
    ) -> Window:
        """Window of the first prompt: round the clicks and the previous mask.

        Parameters
        ----------
        clicks : tuple of float
            Rectangle of the clicks, image coordinates.
        previous : Mask or None
            A mask to start from.
        start : int or None
            Base-2 logarithm of the zoom to start with.
        frame : tuple of float, optional
            A box that the user drew round the object, image coordinates: it tells the size.
        """
        shape, side = self.source.shape, self.side
        exponent = geometry.start_exponent(shape, side) if start is None else start
        rect, size = clicks, None
        if previous is not None:
            rect = geometry.union((clicks, previous.box))
            size = math.sqrt(previous.area)
        if frame is not None:
            size = math.sqrt((frame[2] - frame[0]) * (frame[3] - frame[1]))
        if size is not None:
            exponent = geometry.exponent_for_size(size, shape, side, exponent)
        exponent = geometry.fit_exponent(rect, shape, side, exponent)
        return geometry.place(rect, shape, exponent, side)

    def advance(
        self,
        state: State | None,
        prompts: tuple[Prompt, ...],
        previous: Mask | None,
        start: int | None,
    ) -> State:
        """Take the last of `prompts` in, after `state`; move the window if that is needed."""
        shape, side = self.source.shape, self.side
        clicks = clicks_rect(flatten(prompts))
        whole = state is not None and not state.extent.touches
        needed = hints.needed(prompts) if whole else clicks
        # What lies round an object, like a box, may be said before what it is.
        first = state is None or (previous is None and not hints.any_positive(prompts[:-1]))
        frame = hints.frame(prompts if first else prompts[-1:], prompts)
        part = None if state is None or first else hints.missing_part(state.extent, prompts[-1:])
        if state is None or first or frame is not None:
            window = self.first_window(clicks, previous, start, frame)
            found = self._replay(window, prompts, previous)
        elif part is not None:
            window = self._wider_window(prompts, part, state, previous)
            found = self._replay(window, prompts, previous)
        elif geometry.contains(state.window, needed, shape, side):
            found = self._step(state, prompts, previous)
        else:
            window = self._window_round(prompts, state.extent, previous, state.window.exponent)
            found = self._moved(window, state, prompts, previous)
        found = self._settled(found, prompts, previous, corrected=not first)
        if previous is not None:
            return found
        if (first or part is not None) and in_doubt(found, prompts):
            return self._searched(found, prompts)
        if state is not None and hints.refuted(state.mask, found.mask, state.window, prompts[-1:]):
            return self._narrowed(found, prompts)
        return found

    def _limits(self) -> tuple[int, int]:
        shape, side = self.source.shape, self.side
        low = max(geometry.lowest_exponent(shape, side), self.source.lowest_exponent(side))
        return low, geometry.HIGHEST_EXPONENT

    def _settled(
        self,
        state: State,
        prompts: tuple[Prompt, ...],
        previous: Mask | None,
        corrected: bool = False,
    ) -> State:
        """Change the zoom until the object is neither small nor large in its window.

        A mask that has been `corrected` is taken one step closer as it is. Drawn anew there, it
        might have lost what clicks have told, and further away it is too coarse to build on.
        """
        low, high = self._limits()
        for change in range(MOST_CHANGES):
            extent, old = state.extent, state.window.exponent
            if extent.rect is None and (change or not hints.any_positive(prompts)):
                break  # nothing found: look closer once, not again
            wanted = geometry.choose_exponent(old, self.side, extent.size, extent.touches)
            new = min(max(wanted, low), high)
            if (new - old) * (wanted - old) <= 0:
                break
            window = self._window_round(prompts, extent, previous, new)
            if wanted > old and window.exponent <= old:
                break  # the prompts lie too far apart to look closer
            # Never back to a zoom that was left, so this ends.
            low, high = (low, old - 1) if wanted < old else (old + 1, high)
            if corrected and window.exponent == old + 1:
                state = self._carried(window, state, prompts, previous)
            else:
                state = self._moved(window, state, prompts, previous)
        return state

    def _wider_window(
        self, prompts: tuple[Prompt, ...], part: Rect, state: State, previous: Mask | None
    ) -> Window:
        """Window that holds a missing part too, unless that can't be read in reasonable time."""
        shape, side, start = self.source.shape, self.side, state.window.exponent
        clicks = hints.needed(prompts)
        rect = geometry.union((clicks, part) if previous is None else (clicks, part, previous.box))
        rect = (max(rect[0], 0), max(rect[1], 0), min(rect[2], shape[0]), min(rect[3], shape[1]))
        exponent = geometry.fit_exponent(rect, shape, side, start)
        if exponent < min(start, self._limits()[0]):
            return self._window_round(prompts, state.extent, previous, start)
        return geometry.place(rect, shape, exponent, side)

    def _searched(self, state: State, prompts: tuple[Prompt, ...]) -> State:
        """Try zooms near and, with each prompt, further from that of `state`; keep the best."""
        shape, side = self.source.shape, self.side
        clicks = hints.needed(prompts)
        best = state
        tried = {state.window.exponent}
        for wanted in search_exponents(state.window.exponent, len(prompts), *self._limits()):
            exponent = geometry.fit_exponent(clicks, shape, side, wanted)
            if exponent in tried:
                continue
            tried.add(exponent)
            window = geometry.place(clicks, shape, exponent, side)
            other = self._replay(window, prompts, None)
            # Small differences are noise.
            if other.stability > 1.3 * best.stability + 0.05:
                best = other
            if best.stability >= CONVINCING:
                break
        return best if best is state else self._settled(best, prompts, None)

    def _narrowed(self, state: State, prompts: tuple[Prompt, ...]) -> State:
        """Look as much nearer than `state` as shows an object that suits its window, if any."""
        shape, side = self.source.shape, self.side
        needed, old = hints.needed(prompts), state.window.exponent
        for exponent in range(min(old + NARROWING_STEPS, self._limits()[1]), old, -1):
            if geometry.fit_exponent(needed, shape, side, exponent) < exponent:
                continue
            found = self._replay(geometry.place(needed, shape, exponent, side), prompts, None)
            size, touches = found.extent.size, found.extent.touches
            if geometry.choose_exponent(exponent, side, size, touches) == exponent:
                return replace(found, narrowed=True)
        return state

    def _window_round(
        self, prompts: tuple[Prompt, ...], extent: Extent, previous: Mask | None, start: int
    ) -> Window:
        """Window that holds clicks and the previous mask, and the object if that is cheap.

        All clicks, or else those with which it can be nearer to the zoom of `start`, unless the
        object may go on beyond its window.
        """
        every = self._round(clicks_rect(flatten(prompts)), extent, previous, start)
        if every.exponent >= start or extent.touches:
            return every
        fewer = self._round(hints.needed(prompts), extent, previous, start)
        return fewer if fewer.exponent > every.exponent else every

    def _round(self, clicks: Rect, extent: Extent, previous: Mask | None, start: int) -> Window:
        shape, side = self.source.shape, self.side
        rect = clicks if previous is None else geometry.union((clicks, previous.box))
        if extent.rect is not None:
            both = geometry.union((rect, extent.rect))
            exponent = geometry.fit_exponent(both, shape, side, start)
            if exponent >= min(start, self.source.lowest_exponent(side)):
                return geometry.place(both, shape, exponent, side)
        exponent = geometry.fit_exponent(rect, shape, side, start)
        return geometry.place(rect, shape, exponent, side)

    def _moved(
        self, window: Window, state: State, prompts: tuple[Prompt, ...], previous: Mask | None
    ) -> State:
        """All prompts in another window: drawn anew, unless only a near look shows the object."""
        if state.narrowed:
            return self._carried(window, state, prompts, previous)
        return self._replay(window, prompts, previous)

    def _replay(self, window: Window, prompts: tuple[Prompt, ...], previous: Mask | None) -> State:
        """All prompts in a new window."""
        features = self.features.get(window)
        mask = None if previous is None else in_window(previous, window)
        reference = self._engine.new_reference(window, mask)
        seen = hints.seen(prompts, window)
        for count in range(1, len(seen) + 1):
            drawing = self._engine.step(features, reference, seen[:count], window)
        return self._finished(window, reference, drawing, prompts, previous)

    def _carried(
        self, window: Window, state: State, prompts: tuple[Prompt, ...], previous: Mask | None
    ) -> State:
        """All prompts at once, on the mask as it is, in a new window."""
        reference = self._engine.new_reference(window, in_window(state.mask, window))
        features = self.features.get(window)
        seen = flatten(hints.seen(prompts, window))
        drawing = self._engine.step(features, reference, (seen,), window)
        found = self._finished(window, reference, drawing, prompts, previous)
        return replace(found, narrowed=state.narrowed)

    def _step(self, state: State, prompts: tuple[Prompt, ...], previous: Mask | None) -> State:
        """Only the last prompt, in the same window."""
        if not hints.seen(prompts[-1:], state.window):
            return state
        reference = state.reference.clone()
        features = self.features.get(state.window)
        seen = hints.seen(prompts, state.window)
        drawing = self._engine.step(features, reference, seen, state.window)
        found = self._finished(state.window, reference, drawing, prompts, previous)
        return replace(found, narrowed=state.narrowed)

    def _finished(
        self,
        window: Window,
        reference: Tensor,
        drawing: Drawing,
        prompts: tuple[Prompt, ...],
        previous: Mask | None,
    ) -> State:
        shape = self.source.shape
        clicks = flatten(prompts)
        # An existing mask may have parts without a click: then all parts count.
        seeds = (
            [window.to_input(c.row, c.column) for c in clicks if c.positive]
            if previous is None
            else []
        )
        extent = measure(drawing, window, shape, seeds)
        anchor = pixel_of(clicks[-1])
        mask = to_mask(drawing, window, shape, anchor)
        return State(window, reference, extent, mask, drawing.stability)


def in_doubt(state: State, prompts: tuple[Prompt, ...]) -> bool:
    """Whether to look for the object at other zooms.

    At a wrong zoom the network draws some texture of the object, or what surrounds it, and is
    unsure of it: stability tells the two apart.
    """
    return state.stability < DOUBTFUL and hints.any_positive(prompts[-1:])


def search_exponents(exponent: int, prompts: int, low: int, high: int) -> Iterator[int]:
    """Zooms to try round one that leaves doubt: nearest first, the closer look before the wider.

    Every further prompt widens the search, so the first click stays quick in an image of any size.

    Parameters
    ----------
    exponent : int
        Base-2 logarithm of the zoom that leaves doubt.
    prompts : int
        How many prompts the object has.
    low, high : int
        The limits; where a step crosses one, the limit is tried.

    Yields
    ------
    int
        Each once, never `exponent`.
    """
    known = {exponent}
    for reach in range(1, prompts + 1):
        for step in (SEARCH_STEP * reach, -SEARCH_STEP * reach):
            wanted = min(max(exponent + step, low), high)
            if wanted not in known:
                known.add(wanted)
                yield wanted
