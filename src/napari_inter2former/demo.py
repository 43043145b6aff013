"""The demo: sample images through the whole path, in napari or without a display.

``python -m napari_inter2former.demo record`` makes the samples' recorded clicks anew.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_inter2former.data import SAMPLES, load_sample
from napari_inter2former.weights import find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from napari_inter2former.data import Sample
    from napari_inter2former.evaluation.protocol import SupportsPredict
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.prompts import Click

__all__ = ["no_window_because", "open_window", "record", "run_headless"]

PLUGIN, WIDGET = "napari-inter2former", "Inter2Former"
MOST_CLICKS = 3
GOOD = 0.9
"""The recorded user is content with a mask from this IoU on."""


def no_window_because() -> str | None:
    """Return why napari cannot be opened here, or None when it can.

    Returns
    -------
    str or None
        A sentence with what to do about it.
    """
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return f"Qt is told to draw nothing (QT_QPA_PLATFORM={os.environ['QT_QPA_PLATFORM']})."
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "There is no display here (DISPLAY is not set)."
    if importlib.util.find_spec("napari") is None:
        return 'napari is not installed (pip install "napari-inter2former[all]" brings it).'
    try:
        import qtpy.QtWidgets  # noqa: F401
    # qtpy's own error when no Qt is installed, or the loader's when a library is missing.
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f'Qt cannot be used ({reason}); pip install "napari-inter2former[all]" brings it.'
    return None


def open_window(
    sample_name: str = next(iter(SAMPLES)), model: str | None = None, *, block: bool = True
) -> Any:
    """Open napari with a sample image and the plugin's widget.

    Parameters
    ----------
    sample_name : str
        A key of `napari_inter2former.data.SAMPLES`.
    model : str, optional
        Name or path of the weights that the widget begins with.
    block : bool
        Return when the window is closed; otherwise at once.

    Returns
    -------
    napari.Viewer
        The viewer.

    Raises
    ------
    WeightsError
        If there are no such weights; no window is opened then.
    """
    import napari

    if model is not None:
        find_weights(model)

    sample = load_sample(sample_name)
    viewer = napari.Viewer(title="Inter2Former demo")
    viewer.add_image(sample.image, name=sample.title, rgb=sample.rgb)
    docked = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    if model is not None:
        docked[1].controller.choose_model(model)
    if block:
        napari.run()
    return viewer


def run_headless(out: Path, model: str | Predictor = "tiny") -> dict[str, Any]:
    """Segment all samples from their recorded clicks, and compare with the ground truth.

    Writes ``labels.tif``, ``overlay.png`` and ``report.json``, in which the samples stand side by
    side, and the same for each sample in a folder of its name.

    Parameters
    ----------
    out : pathlib.Path
        Where to write; made when missing.
    model : str or Predictor
        Name or path of the weights, or a predictor.

    Returns
    -------
    dict
        What ``report.json`` holds: ``objects``, ``mean_iou`` (over the objects), ``clicks``
        (the most for any object), and ``samples`` with the same for each.

    Raises
    ------
    WeightsError, OutputError
        When the weights cannot be used, or a file cannot be written.
    """
    from napari_inter2former._files import write_file, write_json
    from napari_inter2former._labels import write_labels
    from napari_inter2former._overlay import beside, beside_labels, draw_overlay, encode_png
    from napari_inter2former.evaluation.click_files import read_clicks
    from napari_inter2former.predictor import Predictor
    from napari_inter2former.scripting import segment

    predictor = Predictor(model) if isinstance(model, str) else model
    samples: dict[str, dict[str, Any]] = {}
    all_labels, all_overlays = [], []
    for name in SAMPLES:
        sample = load_sample(name)
        clicks = read_clicks(sample.clicks_path, sample.labels.shape)
        labels = segment(sample.image, clicks, predictor, rgb=sample.rgb)
        report = compare(sample, labels, clicks)
        overlay = draw_overlay(sample.image, labels, clicks)
        write_labels(out / name / "labels.tif", labels)
        write_file(out / name / "overlay.png", encode_png(overlay))
        write_json(out / name / "report.json", report)
        print(
            f"{sample.title}: {report['objects']} objects, mean IoU {report['mean_iou']:.3f} "
            f"with at most {report['clicks']} clicks each"
        )
        samples[name] = report
        all_labels.append(labels)
        all_overlays.append(overlay)
    objects = sum(report["objects"] for report in samples.values())
    total = {
        "objects": objects,
        "mean_iou": sum(r["objects"] * r["mean_iou"] for r in samples.values()) / objects,
        "clicks": max(report["clicks"] for report in samples.values()),
        "samples": samples,
    }
    write_labels(out / "labels.tif", beside_labels(all_labels))
    write_file(out / "overlay.png", encode_png(beside(all_overlays)))
    write_json(out / "report.json", total)
    print(f"All: {objects} objects, mean IoU with the ground truth {total['mean_iou']:.3f}")
    for file in ("labels.tif", "overlay.png", "report.json"):
        print(f"  {(out / file).resolve()}")
    return total


def compare(
    sample: Sample, labels: NDArray[np.integer[Any]], clicks: Mapping[int, Sequence[Click]]
) -> dict[str, Any]:
    """Compare a label image with a sample's ground truth, object by object.

    Parameters
    ----------
    sample : Sample
        The ground truth.
    labels : ndarray of an integer type, shape (H, W)
        The result, with the ground truth's numbers.
    clicks : mapping of int to sequence of Click
        The objects that were clicked; only they are compared.

    Returns
    -------
    dict
        ``objects``, ``mean_iou`` and ``clicks`` (the most for any object).
    """
    from napari_inter2former.evaluation import iou, object_regions
    from napari_inter2former.evaluation.regions import EMPTY

    truth, result = object_regions(sample.labels), object_regions(labels)
    ious = [iou(truth[number], result.get(number, EMPTY)) for number in clicks]
    return {
        "objects": len(ious),
        "mean_iou": sum(ious) / len(ious),
        "clicks": max(len(of_object) for of_object in clicks.values()),
    }


def record(predictor: SupportsPredict | None, folder: Path | None = None) -> None:
    """Record the clicks of the samples by the click protocol.

    The recorded user stops at a good mask (`GOOD`), or else at the best of `MOST_CLICKS`.

    Parameters
    ----------
    predictor : SupportsPredict or None
        None records one click at the centre of each object, without any model.
    folder : pathlib.Path, optional
        Where the CSV files go instead of beside the samples.
    """
    from napari_inter2former.evaluation import evaluate_object, first_click, object_regions
    from napari_inter2former.evaluation.click_files import write_clicks
    from napari_inter2former.evaluation.datasets import MIN_AREA

    for name in SAMPLES:
        sample = load_sample(name)
        if predictor is not None:
            predictor.set_image(sample.image, rgb=sample.rgb)
        clicks: dict[int, list[Click]] = {}
        for number, truth in object_regions(sample.labels, MIN_AREA).items():
            if predictor is None:
                centre = first_click(truth)
                clicks[number] = [] if centre is None else [centre]
                continue
            result = evaluate_object(predictor, truth, MOST_CLICKS)
            enough = next((k for k, v in enumerate(result.ious) if v >= GOOD), None)
            last = result.ious.index(max(result.ious)) if enough is None else enough
            clicks[number] = result.clicks[: last + 1]
        path = sample.clicks_path if folder is None else folder / sample.clicks_path.name
        write_clicks(path, clicks)
        print(f"{path}: {sum(map(len, clicks.values()))} clicks for {len(clicks)} objects")


def _main() -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m napari_inter2former.demo")
    parser.add_argument("what", choices=["record"])
    parser.add_argument("--model", default="tiny", help="weights; 'none' clicks centres only")
    parser.add_argument("--out", type=Path, help="folder for the CSV files")
    arguments = parser.parse_args()
    predictor: SupportsPredict | None = None
    if arguments.model != "none":
        from napari_inter2former.predictor import Predictor

        predictor = Predictor(arguments.model)
    record(predictor, arguments.out)


if __name__ == "__main__":
    _main()
