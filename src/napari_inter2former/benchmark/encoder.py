"""Times of encoding, with the arithmetic it needs (Table 1)."""

from __future__ import annotations

from functools import partial

import torch

from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._scene import image, model
from napari_inter2former.benchmark._suites import PRESETS, SIDES, chosen_presets, chosen_sides
from napari_inter2former.benchmark._timing import matmul_rate, milliseconds
from napari_inter2former.model import Inter2Former, encoder_precision

__all__ = ["gflop", "run"]


@torch.inference_mode()
def run(quick: bool) -> list[Result]:
    """Measure encoding at 1024 and 2048 pixels, edge features included.

    The rate beside it is that of the precision which the encoder runs in.
    """
    results = []
    precision = encoder_precision()
    rate = matmul_rate("bfloat16" if precision == "bf16" else "float32")
    for preset in chosen_presets(("tiny",) if quick else PRESETS):
        for side in chosen_sides(SIDES[:1] if quick else SIDES):
            network, picture = model(preset), image(side)
            least = 3 if side == SIDES[0] else 1
            ms = milliseconds(partial(network.encode, picture), 0.5 if quick else 3, least)
            results.append(
                Result(
                    suite="encoder",
                    name=f"encode/{side}",
                    preset=preset,
                    size=side,
                    ms=ms,
                    gflop=gflop(preset, side),
                    rate=rate,
                    figures={"precision": precision},
                )
            )
    return results


def gflop(preset: str, side: int) -> float:
    """Count the operations of encoding, as PyTorch counts those of products and convolutions.

    Of the plain formulas, so that saving operations shows as a higher share of the rate.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    config = model(preset).config
    # Gradients choose the plain formulas; meta tensors compute nothing.
    with torch.device("meta"), torch.inference_mode(False), torch.enable_grad():
        network = Inter2Former(config).eval()
        picture = torch.empty(1, side, side, 3)
        with counter:
            network.encode_batch(picture)
    return float(counter.get_total_flops()) * 1e-9
