"""Learning an encoder from images without labels: images, crops and the loop.

What `pretrain` and `distill` have in common.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_inter2former._cache import BoundedCache
from napari_inter2former.errors import Inter2FormerError
from napari_inter2former.evaluation import DatasetError, read_picture
from napari_inter2former.evaluation.layouts.names import (
    LABEL_ENDINGS,
    LABEL_FOLDERS,
    SUFFIXES,
    ending_of,
)
from napari_inter2former.images import as_image_source
from napari_inter2former.model import Inter2Former
from napari_inter2former.training.augmentation import augment
from napari_inter2former.training.interruptions import RegularSaves, StopRequest
from napari_inter2former.training.loop import mean
from napari_inter2former.training.sampling import check_side
from napari_inter2former.training.synthetic import draw_scene
from napari_inter2former.weights import save_weights

MEMORY_BYTES = 4 << 30
"""Pixels kept in memory."""


def find_images(folder: Path) -> list[Path]:
    """List all images below a folder, without what is, or lies in what is, named like label maps.

    Raises
    ------
    DatasetError
        If there are none.
    """
    endings = [ending for ending in LABEL_ENDINGS if ending]
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and ending_of(path, endings) is None
        and not any(
            part.lower() in (*LABEL_FOLDERS, "annotations", "mitochondria")
            for part in path.relative_to(folder).parts[:-1]
        )
    )
    if not found:
        what = "holds no image" if folder.is_dir() else "is no folder"
        raise DatasetError(f"{folder} {what}; give a folder of TIFF, PNG, JPEG or WebP files.")
    return found


class Images:
    """Images read when they are drawn, and kept as memory allows.

    Parameters
    ----------
    paths : sequence of Path
        The files. One that can't be read is named on the standard error stream, once, and left
        out.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._memory: BoundedCache[Path, NDArray[np.uint8]] = BoundedCache(MEMORY_BYTES)

    def draw(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a random image, normalised, (H, W, 3) in 0..255."""
        while self.paths:
            path = self.paths[int(rng.integers(len(self.paths)))]
            kept = self._memory.get(path)
            if kept is not None:
                return kept
            try:
                picture = read_picture(path)
                source = as_image_source(picture.data, picture.channel_axis, picture.rgb)
                pixels = (source.read(0, 0, *source.shape, 0) * 255 + 0.5).astype(np.uint8)
            except (Inter2FormerError, ValueError, OSError) as error:
                print(f"left out: {error}", file=sys.stderr)
                self.paths.remove(path)
                continue
            self._memory.put(path, pixels, pixels.nbytes)
            return pixels
        raise DatasetError("None of the images can be read.")


def crop(image: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random part of an image at a random scale, (side, side, 3) in [0, 1]."""
    zoom = math.exp(rng.uniform(math.log(0.4), math.log(2.5)))
    least = min(image.shape[:2])
    span = int(np.clip(side / zoom, min(16, least), least))
    top, left = (int(rng.integers(length - span + 1)) for length in image.shape[:2])
    part = image[top : top + span, left : left + span]
    way = cv2.INTER_AREA if span > side else cv2.INTER_LINEAR
    resized = cv2.resize(part, (side, side), interpolation=way)
    turned = np.rot90(resized, int(rng.integers(4)))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned, np.float32) / np.float32(255)


def crops(
    images: Images, count: int, side: int, synthetic: float, rng: np.random.Generator
) -> Iterator[Tensor]:
    """Draw batches without end: float32 (count, side, side, 3) in [0, 1]."""
    while True:
        batch = []
        for _ in range(count):
            if rng.random() < synthetic:
                part = draw_scene(side, rng)[0].astype(np.float32) / np.float32(255)
            else:
                part = crop(images.draw(rng), side, rng)
            batch.append(augment(part, rng))
        yield torch.from_numpy(np.stack(batch))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `learn` to a command line."""
    parser.add_argument("--images", type=Path, required=True, help="folder of images, searched")
    parser.add_argument("--out", type=Path, required=True, help="weights to write")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--start-from", help="weights to go on from (name or path)")
    parser.add_argument("--crops", type=int, default=8, help="crops per step")
    parser.add_argument("--side", type=int, default=192, help="of a crop; a multiple of 32")
    parser.add_argument("--synthetic", type=float, default=0.2, help="share of synthetic crops")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def learn(
    model: Inter2Former,
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    options: argparse.Namespace,
    metadata: Mapping[str, object],
) -> None:
    """Minimise a loss on crops of unlabelled images, and write the model.

    Ctrl-C or SIGTERM ends it early, and what was learned by then is written.

    Parameters
    ----------
    model : Inter2Former
        Its encoder learns; the whole is written, every few minutes and at the end.
    parameters : sequence of Parameter
        What is learned.
    loss_of : callable
        From a batch of crops (B, side, side, 3) in [0, 1] to a scalar.
    options : argparse.Namespace
        See `add_options`.
    metadata : mapping
        What the weights file says about the training, beside its steps and minutes.
    """
    check_side(options.side)
    rng = np.random.default_rng(options.seed)
    source = crops(
        Images(find_images(options.images)), options.crops, options.side, options.synthetic, rng
    )
    optimizer = torch.optim.AdamW(parameters, options.learning_rate, (0.9, 0.98), weight_decay=0.05)
    budget, begun = options.minutes * 60, time.monotonic()
    passed, losses, recent = 0.0, list[float](), deque[float](maxlen=20)

    def save() -> None:
        progress = {"steps": len(losses), "minutes": round(passed / 60, 2)}
        save_weights(options.out, model, {"training": {**metadata, **progress}})

    saves = RegularSaves(save, options.save_minutes)
    with StopRequest() as stop:
        while not losses or (passed < budget and not stop.asked):
            warm = min(1.0, (len(losses) + 1) / 50)
            decay = 0.5 + 0.5 * math.cos(math.pi * min(passed / budget, 1))
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * warm * max(decay, 0.01)
            loss = loss_of(next(source).to(options.device))
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
            recent.append(losses[-1])
            passed = time.monotonic() - begun
            if len(losses) % 20 == 0:
                print(f"step {len(losses)}  minutes {passed / 60:.2f}  loss {mean(recent):.4f}")
            saves.when_due()
        save()
    print(
        f"loss {mean(losses[:20]):.4f} -> {mean(recent):.4f} in {len(losses)} steps, "
        f"{passed / 60:.1f} of {options.minutes:g} minutes; "
        f"go on with train.py --start-from {options.out}"
    )
