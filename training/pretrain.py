"""Pre-train an encoder on images without labels, as a masked autoencoder.

Run ``python training/pretrain.py --help``, or ``python -m napari_inter2former.training.pretrain``;
then ``train.py --start-from WEIGHTS``.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_inter2former.model import PRESETS, Inter2Former, build_model
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.unlabelled import add_options, learn
from napari_inter2former.weights import load_model


class MaskedAutoencoder(nn.Module):
    """An encoder that is asked for what it was not shown.

    Squares of tokens are blotted out in the image, not left out of the computation, because the
    encoder has a convolutional stem and windows (SimMIM, Xie et al., 2022); the targets are pixels
    normalised in each patch (He et al., 2022, section 3).

    Parameters
    ----------
    model : Inter2Former
        Whose encoder learns.
    ratio : float
        Share of the image that is hidden.
    unit : int
        Side of a hidden square, in tokens.
    """

    def __init__(self, model: Inter2Former, ratio: float = 0.6, unit: int = 2) -> None:
        super().__init__()
        self.encoder, self.patch = model.encoder, model.config.patch
        self.ratio, self.unit = ratio, unit
        self.head = nn.Linear(model.config.dim, 3 * self.patch**2)

    def forward(self, images: Tensor) -> Tensor:
        """Return the loss for images (B, H, W, 3) in [0, 1]."""
        b, height, width, _ = images.shape
        h, w = height // self.patch, width // self.patch
        hidden = self.draw(b, h, w).to(images.device)
        blot = hidden.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
        shown = images.masked_fill(blot[..., None], 0.5)
        tokens, _ = self.encoder(shown * 2 - 1)
        patches = images.reshape(b, h, self.patch, w, self.patch, 3).transpose(2, 3)
        wanted = patches.reshape(b, h, w, self.patch**2, 3)[hidden]
        spread, level = torch.std_mean(wanted, 1, keepdim=True)
        wanted = (wanted - level) / (spread + 0.02)
        loss: Tensor = F.mse_loss(self.head(tokens[hidden]), wanted.flatten(1))
        return loss

    def draw(self, b: int, h: int, w: int) -> Tensor:
        """Draw what is hidden: bool (B, h, w) tokens, the same number in each image."""
        rows, columns = -(-h // self.unit), -(-w // self.unit)
        count = round(self.ratio * rows * columns)
        order = torch.rand(b, rows * columns).argsort(1)
        hidden = (order < count).view(b, rows, columns)
        hidden = hidden.repeat_interleave(self.unit, 1).repeat_interleave(self.unit, 2)
        return hidden[:, :h, :w]


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument("--preset", default="tiny", choices=sorted(PRESETS))
    parser.add_argument("--ratio", type=float, default=0.6, help="share that is hidden")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    model = load_model(options.start_from) if options.start_from else build_model(options.preset)
    masked = MaskedAutoencoder(model.train(), options.ratio).to(options.device)
    metadata = {"protocol": "masked autoencoder"}
    learn(model, list(masked.parameters()), masked, options, metadata)
    return 0


if __name__ == "__main__":
    sys.exit(main())
