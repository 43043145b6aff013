"""Teach a model's score, the IoU that it expects of its masks; the masks stay as they are.

The training loop teaches the score on masks in a box round each object. Everything mode asks for
it where many alike objects are seen at once, and on background. So its clicks are made, and a
user's, what the score may look at is kept beside the IoU that was reached, and the head that tells
the score, and nothing else, learns from that.

Run ``python training/score.py --help``, or ``python -m napari_inter2former.training.score``.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from napari_inter2former.errors import WeightsError
from napari_inter2former.evaluation.datasets import DatasetError, find_datasets
from napari_inter2former.everything._decode import encode
from napari_inter2former.model import Inter2Former
from napari_inter2former.model.quality import IoUHead
from napari_inter2former.predictor._engine import Engine
from napari_inter2former.training.augmentation import augment
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.interruptions import StopRequest
from napari_inter2former.training.pool import LazyImages, TrainingImage
from napari_inter2former.training.sampling import SamplingOptions
from napari_inter2former.training.score_samples import (
    AttentiveHead,
    Sample,
    automatic_samples,
    clicked_samples,
    draw_window,
)
from napari_inter2former.training.synthetic import draw_scene
from napari_inter2former.training.targets import draw_targets
from napari_inter2former.weights import find_weights, load_model, read_metadata, save_weights

SIDE = 576
"""Largest side of the windows of everything mode, input pixels."""
ONE_IN = 6
"""Of so many windows one is not learned from: it tells when to stop."""
SYNTHETIC, VARIED = 0.1, 0.5
"""Shares of the windows that are synthetic scenes, and whose appearance is changed."""
TARGETS, CLICKS = 4, 4
"""What a user clicks at in each window, and how often at most."""


class Samples(NamedTuple):
    """What the head learns from.

    Attributes
    ----------
    inputs : Tensor
        (N, 2 dim + 2), see `IoUHead.inputs`.
    ious : Tensor
        (N,), the IoU that was reached.
    windows : Tensor
        int (N,), the number of the window that a sample comes from.
    """

    inputs: Tensor
    ious: Tensor
    windows: Tensor


def gather(
    model: Inter2Former,
    pool: Mapping[str, LazyImages],
    windows: int,
    rng: np.random.Generator,
    partly: Collection[str] = (),
) -> Samples:
    """Make clicks, in windows of datasets drawn as in training.

    Ctrl-C ends it early, with what there is by then.

    Parameters
    ----------
    model : Inter2Former
        With an IoU head, in evaluation mode.
    pool : mapping of str to LazyImages
        Datasets; each gives a share of the windows that grows with the root of its images.
    windows : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.
    partly : collection of str
        The datasets that show objects without a label.
    """
    head = AttentiveHead.listen(model)
    engine = Engine(model, 0)
    shares = np.sqrt([len(images) for images in pool.values()])
    shares /= shares.sum()
    names = list(pool)
    options = SamplingOptions(objects=TARGETS)
    kept: list[Sample] = []
    numbers: list[int] = []
    with StopRequest() as stop:
        for number in tqdm(range(windows), desc="windows", disable=not sys.stderr.isatty()):
            if stop.asked and kept:
                break
            if rng.random() < SYNTHETIC:
                scene, labels = draw_scene(SIDE // 32 * 32, rng)
                pixels, complete = scene.astype(np.float32) / np.float32(255), True
            else:
                name = names[rng.choice(len(names), p=shares)]
                image = pool[name][int(rng.integers(len(pool[name])))]
                pixels, labels = draw_window(image, SIDE, rng)
                complete = name not in partly
            if rng.random() < VARIED:
                pixels = augment(pixels, rng)
            kept += automatic_samples(model, head, pixels, labels, rng, not complete)
            # A user's window is of the size that the model was made for.
            corner = [int(rng.integers(max(n - model.config.window, 0) + 1)) for n in labels.shape]
            part = tuple(slice(at, at + model.config.window) for at in corner)
            seen = np.ascontiguousarray(pixels[part])
            targets = draw_targets((seen * 255).astype(np.uint8), labels[part], options, rng)
            if targets is not None:
                features = encode(model, seen)
                for target in targets:
                    kept += clicked_samples(engine, head, features, target, rng, CLICKS)
            numbers += [number] * (len(kept) - len(numbers))
    if not kept:
        raise DatasetError("None of the clicks drew anything; train the model first.")
    # Of torch's own: what was made for inference only can't be learned from.
    inputs = torch.from_numpy(np.concatenate([sample.inputs.cpu().numpy() for sample in kept]))
    return Samples(inputs, torch.tensor([sample.iou for sample in kept]), torch.tensor(numbers))


def learn(
    head: IoUHead, samples: Samples, epochs: int = 25, rate: float = 1e-3, batch: int = 256
) -> tuple[float, float]:
    """Train a head in place, and keep it as it was best on the windows held out.

    Returns
    -------
    before, after : float
        Mean absolute error of the score on those windows.
    """
    out = samples.windows % ONE_IN == ONE_IN - 1
    if not bool(out.any()):  # hardly any windows
        out = torch.arange(len(out)) % ONE_IN == 0
    inputs, ious = samples.inputs[~out], samples.ious[~out]
    optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=0.05)
    steps = epochs * -(-len(ious) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    @torch.no_grad()
    def judged() -> tuple[float, float]:
        told = head.judge(samples.inputs[out])
        loss = F.binary_cross_entropy_with_logits(told, samples.ious[out])
        return float(loss), float((told.sigmoid() - samples.ious[out]).abs().mean())

    best, error = judged()
    before, state = error, copy.deepcopy(head.state_dict())
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(ious)), batch):
            told = head.judge(inputs[chosen])
            torch.autograd.backward(F.binary_cross_entropy_with_logits(told, ious[chosen]))
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        loss, now = judged()
        if loss < best:
            best, error, state = loss, now, copy.deepcopy(head.state_dict())
    head.load_state_dict(state)
    return before, error


def is_half(model: Inter2Former) -> bool:
    """Whether half precision holds all that did not learn, so that masks stay as they are."""
    return all(
        torch.equal(value, value.half().to(value.dtype))
        for name, value in model.state_dict().items()
        if not name.startswith("quality.") and value.is_floating_point()
    )


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--data", type=Path, required=True, help="folder of datasets")
    result.add_argument("--weights", default="tiny", help="the model (name or path)")
    result.add_argument("--out", type=Path, required=True, help="weights to write")
    result.add_argument("--windows", type=int, default=300, help="(default: %(default)s)")
    result.add_argument(
        "--partly",
        nargs="*",
        default=[],
        metavar="NAME",
        help="datasets that show objects without a label: clicks on those teach nothing",
    )
    result.add_argument("--seed", type=int, default=0)
    return result


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    if options.windows < 1:
        raise DatasetError(f"--windows must be at least 1, not {options.windows}.")
    model = load_model(options.weights)
    if model.quality is None:
        raise WeightsError(f"The model {options.weights} has no IoU head, so it tells no score.")
    metadata = read_metadata(find_weights(options.weights))
    pool = {
        name: LazyImages([TrainingImage(pair) for pair in source.pairs])
        for name, source in find_datasets(options.data, "train").items()
    }
    unknown = sorted(set(options.partly) - set(pool))
    if unknown:
        raise DatasetError(f"--partly: no dataset is called {', '.join(unknown)}.")
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    samples = gather(model, pool, options.windows, rng, options.partly)
    before, after = learn(model.quality, samples)
    windows = int(samples.windows[-1]) + 1
    score = {"windows": windows, "masks": len(samples.ious), "seed": options.seed}
    training = {**metadata["training"], "score": score}
    told = {key: metadata[key] for key in ("figures", "normalization")}
    save_weights(options.out, model, {**told, "training": training}, half=is_half(model))
    print(
        f"{len(samples.ious)} masks in {windows} windows; mean absolute error of the score on "
        f"windows held out: {before:.3f} -> {after:.3f}. Written to {options.out}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
