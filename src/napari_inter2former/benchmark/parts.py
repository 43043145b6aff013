"""The parts of the decoder over area ratios and numbers of experts (Fig. 3 a to d)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_inter2former.benchmark import experts
from napari_inter2former.benchmark._result import Result
from napari_inter2former.benchmark._scene import image, model, scene
from napari_inter2former.benchmark._suites import PRESETS, chosen_presets
from napari_inter2former.benchmark._timing import matmul_rate, medians
from napari_inter2former.model.prompt_embedding import TokenBox
from napari_inter2former.model.upsampling import object_box

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_inter2former.model import ImageFeatures, Inter2Former
    from napari_inter2former.model.fast_decoder import FastDecoder

__all__ = ["run"]

SIDE = 1024
AREAS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


def run(quick: bool) -> list[Result]:
    """Measure DPE, DHA, DLU and HMoE against what they replace.

    DPE and DLU are compared with the full modules in PyTorch, DHA with full attention for all
    tokens by `scaled_dot_product_attention`; DLU, localisation included, also with the full
    upsampling on the same kernels.

    Raises
    ------
    RuntimeError
        Without the compiled extension.
    """
    results = []
    for preset in chosen_presets(("base",) if quick else PRESETS):
        results += _parts(preset, quick)
    return results + experts.run(quick)


@torch.inference_mode()
def _parts(preset: str, quick: bool) -> list[Result]:
    network = model(preset)
    features = network.encode(image(SIDE))
    decoder = network._packing.of(network)
    if decoder is None:
        raise RuntimeError("The suite of kernels needs the compiled extension.")
    results = []
    for area in (0.02, 1.0) if quick else AREAS:
        for part in (_dpe, _dlu, _dha):
            calls = part(network, decoder, features, area)
            ms = medians(calls, 0.3 if quick else 1.0, 5)
            (fast, fast_ms), (reference, reference_ms), *others = ms.items()
            results.append(
                Result(
                    suite="kernels",
                    name=f"{fast}/area={area}",
                    preset=preset,
                    size=SIDE,
                    ms=fast_ms,
                    reference=reference,
                    reference_ms=reference_ms,
                    rate=matmul_rate(),
                    figures=dict(others) or None,
                )
            )
    return results


def _dpe(
    network: Inter2Former, decoder: FastDecoder, features: ImageFeatures, area: float
) -> dict[str, Callable[[], object]]:
    reference = scene(SIDE, area).reference
    tokens = features.tokens[0]
    out = torch.empty_like(tokens)
    field = decoder.native.PromptField(decoder.prompt)

    def dynamic() -> Tensor:
        return decoder.embed(field, tokens, reference, out)

    def full() -> Tensor:
        return torch.add(tokens, network.prompt(reference[None])[-1][0], out=out)

    return {"dpe": dynamic, "full embedding (PyTorch)": full}


def _dlu(
    network: Inter2Former, decoder: FastDecoder, features: ImageFeatures, area: float
) -> dict[str, Callable[[], object]]:
    known = scene(SIDE, area)
    patch = network.config.patch
    box = object_box(F.max_pool2d(known.mask[None, None].float(), patch)[0, 0] * 20 - 10)
    x = features.tokens[0]
    field = decoder.native.PromptField(decoder.prompt)
    decoder.embed(field, x, known.reference, torch.empty_like(x))
    whole = TokenBox(0, 0, *x.shape[:2])

    def local() -> Tensor:
        decoder.locate(x.flatten(0, 1))
        return decoder.upsample(field, x, features.edges, box)

    def full() -> Tensor:
        return decoder.upsample(field, x, features.edges, whole)

    prompts = network.prompt(known.reference[None])[2::-1]

    def plain() -> Tensor:
        logits: Tensor = network.upsampling(x[None], features.edges, prompts)
        return logits

    return {"dlu": local, "full upsampling (PyTorch)": plain, "full_on_kernels_ms": full}


def _dha(
    network: Inter2Former, decoder: FastDecoder, features: ImageFeatures, area: float
) -> dict[str, Callable[[], object]]:
    layer: Any = network.layers[0]
    h, w = features.tokens.shape[1:3]
    x = features.tokens[0].flatten(0, 1)
    field = decoder.native.PromptField(decoder.prompt)
    edge = decoder.embed(
        field, features.tokens[0], scene(SIDE, area).reference, torch.empty_like(x)
    )
    everything = torch.ones_like(edge)

    def hybrid() -> None:
        decoder.attend(0, layer.attention, x.clone(), edge, (h, w))

    def full() -> Tensor:
        y: Tensor = x + layer.attention.dynamic(x, everything, (h, w))
        return y

    return {"dha": hybrid, "all-FA (scaled_dot_product_attention)": full}
