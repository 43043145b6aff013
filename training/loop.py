"""The training loop: encode a batch of crops, click, decode, learn, click again."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.model import ImageFeatures, Inter2Former, encoder_precision
from napari_inter2former.model import reference_mask as rm
from napari_inter2former.model.experts import HybridExperts
from napari_inter2former.model.inter2former import cut
from napari_inter2former.model.objects import ObjectHead
from napari_inter2former.model.precision import products_in
from napari_inter2former.model.prompt_embedding import TokenBox
from napari_inter2former.training.auxiliary import dense_loss, dense_targets
from napari_inter2former.training.clicks import add_clicks, draw_grains, start
from napari_inter2former.training.losses import COMMITMENT_WEIGHT, mask_loss, pool_targets
from napari_inter2former.training.optimizer import optimizers
from napari_inter2former.training.parallel import add_up, average_gradients
from napari_inter2former.training.sampling import Batch
from napari_inter2former.training.targets import with_other_borders


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are learned.

    Parameters
    ----------
    optimizer : str
        ``"muon"`` (with AdamW for what is no matrix) or ``"adamw"``.
    learning_rate : float
        Peak learning rate.
    weight_decay : float
        For matrices and kernels; none for biases and norms.
    warm_up : int
        Steps over which the learning rate rises.
    decay_from : float
        Share of the time after which the learning rate falls to nothing, linearly.
    further : float
        Probability of each click after the first.
    most_clicks : int
        Largest number of clicks that are learned from.
    rehearsed : float
        Share of the steps that begin with a few clicks that are not learned from, so that what
        is learned is how to go on from there. They cost less than half of the others.
    most_rehearsed : int
        Largest number of such clicks; each number is as likely.
    margins : float
        Share of those steps' objects that are asked for with their border further in or out, as
        the clicks that are not learned from have said.
    careless : float
        Probability that a click falls anywhere in the error, not in its deep part.
    previous : float
        Share of the objects that have a mask with some fault before the first click.
    boxed : float
        Share of the others that have a box round them before the first click.
    average : float
        Decay per step of the moving average of the weights.
    box : float
        Side, as a share of the crop's, of the part of each mask that is upsampled, clicked in and
        learned in full resolution, around the object. The low-resolution branch always learns
        the whole.
    auxiliary : float
        Weight of the auxiliary task, which teaches about all objects of a crop at once, and takes
        what has no label for background; at 0 an `ObjectHead` stays as it is.
    """

    optimizer: str = "muon"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    decay_from: float = 0.6
    further: float = 0.6
    most_clicks: int = 20
    rehearsed: float = 0.5
    most_rehearsed: int = 8
    margins: float = 0.0
    careless: float = 0.25
    previous: float = 0.1
    boxed: float = 0.08
    average: float = 0.998
    box: float = 0.7
    auxiliary: float = 1.0


class StepResult(NamedTuple):
    """What one step reports: losses, IoU after the first and the last click, and clicks."""

    loss: float
    auxiliary: float
    first_iou: float
    last_iou: float
    clicks: int


class Trainer:
    """A network, its optimizers and its averaged weights.

    Parameters
    ----------
    model : Inter2Former
        The network to train, in place.
    options : TrainingOptions
        How.
    """

    def __init__(self, model: Inter2Former, options: TrainingOptions) -> None:
        self.model = model.train()
        self.options = options
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        device = next(model.parameters()).device
        self.named_parameters = dict(model.named_parameters())
        # A network without such a head gets one for the time of its training.
        self.auxiliary = ObjectHead(model.config).to(device) if model.objects is None else None
        if self.auxiliary is not None:
            self.named_parameters |= {
                f"auxiliary.{name}": p for name, p in self.auxiliary.named_parameters()
            }
        self.names = {parameter: name for name, parameter in self.named_parameters.items()}
        self.optimizers = optimizers(
            self.named_parameters.values(),
            options.optimizer,
            options.learning_rate,
            options.weight_decay,
        )
        self.precision = encoder_precision(device)
        self.steps = 0

    def rate(self, progress: float) -> float:
        """Return the learning rate at a share of the time in [0, 1]."""
        decay = min(1.0, (1 - progress) / max(1 - self.options.decay_from, 1e-9))
        warm = min(1.0, (self.steps + 1) / max(self.options.warm_up, 1))
        return self.options.learning_rate * warm * max(decay, 0.01)

    def step(self, batch: Batch, progress: float, rng: np.random.Generator) -> StepResult:
        """Take one step.

        The image is encoded once. Each click is decoded and learned from by itself, on the
        reference mask that the model's own earlier predictions left; the gradients with respect
        to the image features add up and go back through the encoder once.
        """
        device = next(self.model.parameters()).device
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate(progress)
        # The same number in all processes, so that none waits for another.
        shared = np.random.default_rng(self.steps)
        clicks = min(int(shared.geometric(1 - self.options.further)), self.options.most_clicks)
        rehearsed = 0
        if shared.random() < self.options.rehearsed:
            rehearsed = int(shared.integers(1, self.options.most_rehearsed + 1))
            batch = self.redraw(batch, rng)
        targets = batch.targets.to(device)
        with products_in(self.precision):
            features = self.model.encode_batch(batch.images.to(device))
            head = self.model.objects if self.auxiliary is None else self.auxiliary
            maps = head(features).float() if head and self.options.auxiliary else None
        learned: list[tuple[Tensor, Tensor | None]] = []
        auxiliary = torch.zeros(())
        if maps is not None:
            auxiliary = dense_loss(maps, dense_targets(batch.labels.to(device)))
            learned.append((self.options.auxiliary * auxiliary, None))
        encoded = [x.float() for x in (features.tokens, *features.edges)]
        leaves = [x.detach().requires_grad_() for x in encoded]
        detached = ImageFeatures(leaves[0], leaves[1:], features.shape)
        low_targets = pool_targets(targets, self.model.config.patch)
        patch = self.model.config.patch
        boxes = object_boxes(low_targets, self.options.box, rng)
        local_targets = cut(targets, boxes, patch)
        inside = torch.zeros_like(targets)
        for target, box in zip(inside, boxes, strict=True):
            target[box.slices(patch)] = True
        clickable = targets & inside
        careless, fine = self.options.careless, self.model.config.fine_clicks
        reference, predicted = start(
            clickable, self.options.previous, rng, self.options.boxed, fine
        )
        predicted &= inside
        grains = draw_grains(clickable, rng)
        losses, ious = [], []
        for number in range(rehearsed + clicks):
            learns = number >= rehearsed
            add_clicks(reference, clickable, predicted, rng, careless, fine, grains)
            with torch.set_grad_enabled(learns), products_in(self.precision):
                output = self.model(detached, reference, boxes)
            for whole, part, box in zip(predicted, output.logits, boxes, strict=True):
                whole[box.slices(patch)] = part > 0
            reached = intersection_over_union(predicted, clickable)
            ious.append(reached.mean())
            # An object that is longer than its box goes on where it ends.
            beyond = (output.low_resolution > 0).repeat_interleave(patch, 1)
            beyond = beyond.repeat_interleave(patch, 2)
            rm.update(reference, torch.where(inside, predicted, beyond))
            if not learns:
                continue
            loss = (
                mask_loss(output.logits, local_targets).mean()
                + 0.5 * mask_loss(output.low_resolution, low_targets).mean()
                + COMMITMENT_WEIGHT * output.commitment
            )
            losses.append(loss.detach())
            if output.iou is not None:
                loss = loss + F.binary_cross_entropy_with_logits(output.iou.float(), reached)
            (loss / clicks).backward()
        # A frozen encoder has outputs that need no gradient.
        learned += [
            (x, leaf.grad) for x, leaf in zip(encoded, leaves, strict=True) if x.requires_grad
        ]
        if learned:
            outputs, gradients = zip(*learned, strict=True)
            torch.autograd.backward(outputs, gradients)
        average_gradients(self.named_parameters.values())
        norm = torch.nn.utils.clip_grad_norm_(self.named_parameters.values(), 1.0)
        for optimizer in self.optimizers:
            if norm.isfinite():  # one broken batch must not spoil the weights
                with products_in(self.precision):
                    optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        for module in self.model.modules():
            if isinstance(module, HybridExperts):
                add_up(module.counts)
                module.balance()
        self.update_average()
        loss = float(torch.stack(losses).mean())
        return StepResult(loss, float(auxiliary.detach()), float(ious[0]), float(ious[-1]), clicks)

    def redraw(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return a batch with the border of some targets further in or out."""
        share = self.options.margins
        if not share:
            return batch
        targets = with_other_borders(batch.targets.numpy(), batch.labels.numpy(), share, rng)
        return replace(batch, targets=torch.from_numpy(targets))

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights towards the current ones."""
        decay = min(self.options.average, (1 + self.steps) / (10 + self.steps))
        ours, theirs = _floats(self.average), _floats(self.model)
        torch._foreach_lerp_(ours, theirs, 1 - decay)


def object_boxes(low_targets: Tensor, share: float, rng: np.random.Generator) -> list[TokenBox]:
    """Return a box of one size round each object, moved at random by up to two tokens.

    It holds the whole object where that fits.

    Parameters
    ----------
    low_targets : Tensor
        bool (B, h, w), the tokens that hold any of the object.
    share : float
        Side of the boxes as a share of the grid's.
    rng : numpy.random.Generator
        Source of randomness.
    """
    height, width = low_targets.shape[1:]
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    boxes = []
    for target in low_targets.cpu().numpy():
        tokens = np.argwhere(target)
        wanted = tokens.mean(0) + rng.uniform(-2, 3, 2) - (rows / 2, columns / 2)
        last, first = tokens.max(0) + 1 - (rows, columns), tokens.min(0)
        wanted = np.where(last <= first, wanted.clip(last, first), wanted)
        top, left = wanted.clip(0, (height - rows, width - columns)).astype(int).tolist()
        boxes.append(TokenBox(top, left, top + rows, left + columns))
    return boxes


def _floats(model: Inter2Former) -> list[Tensor]:
    return [x for x in model.state_dict().values() if x.is_floating_point()]


def intersection_over_union(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the IoU of each pair of masks (B, H, W): (B,)."""
    both = (predicted & targets).flatten(1).sum(1)
    either = (predicted | targets).flatten(1).sum(1)
    return both / either.clamp_min(1)


def mean(values: Iterable[float]) -> float:
    """Return the mean, NaN of nothing."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan
