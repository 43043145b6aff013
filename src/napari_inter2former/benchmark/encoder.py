"""Times of encoding, with the arithmetic it needs (Table 1)."""

from __future__ import annotations

import torch

from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._scene import image, model
from napari_inter2former.benchmark._timing import matmul_rate, milliseconds

__all__ = ["gflop", "run"]


@torch.inference_mode()
def run(quick: bool) -> list[Result]:
    """Measure encoding at 1024 and 2048 pixels, edge features included."""
    results = []
    for preset in ("tiny",) if quick else ("tiny", "small", "base"):
        for side in (1024,) if quick else (1024, 2048):
            network, picture = model(preset), image(side)
            least = 3 if side == 1024 else 1
            ms = milliseconds(lambda n=network, p=picture: n.encode(p), 0.5 if quick else 3, least)
            results.append(
                Result(
                    suite="encoder",
                    name=f"encode/{side}",
                    preset=preset,
                    size=side,
                    ms=ms,
                    gflop=gflop(preset, side),
                    rate=matmul_rate(),
                )
            )
    return results


def gflop(preset: str, side: int) -> float:
    """Count the operations of encoding, as PyTorch counts those of products and convolutions.

    Of the plain formulas, so that saving operations shows as a higher share of the rate.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        network = type(model(preset))(model(preset).config).eval()
        picture = torch.empty(1, side, side, 3)
    with counter, torch.inference_mode(False), torch.enable_grad():  # the plain formulas
        network.encode_batch(picture)
    return counter.get_total_flops() * 1e-9
