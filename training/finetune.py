"""Fine-tune a model on your own images and labels.

Run ``python training/finetune.py --help``, or ``python -m napari_inter2former.training.finetune``.
The new model is stored in your models folder and is listed by name in the widget, in
``inter2former info`` and in scripts.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from napari_inter2former._files import check_writable
from napari_inter2former.evaluation.datasets import DatasetError, Pair, find_datasets
from napari_inter2former.evaluation.layouts.folders import match_files
from napari_inter2former.training.command import tells_errors
from napari_inter2former.training.interruptions import StopRequest
from napari_inter2former.training.loop import Trainer, TrainingOptions
from napari_inter2former.training.pool import make_dataset
from napari_inter2former.training.sampling import SamplingOptions, batches, prefetch
from napari_inter2former.weights import (
    list_models,
    load_model,
    read_metadata,
    save_weights,
    user_models_folder,
)

OWN_OBJECTS = SamplingOptions(synthetic=0, superpixels=0, union=0, parts=0, background=0)
"""Nothing but the labelled objects is asked for; their images are still varied."""


def find_training_pairs(images: Path, labels: Path | None = None) -> list[Pair]:
    """List the images to train on.

    Parameters
    ----------
    images : Path
        With `labels`, a folder of images. Without, a dataset in any layout that
        `napari_inter2former.evaluation.find_datasets` knows, or a folder of datasets.
    labels : Path, optional
        A folder of label maps named as the images.

    Raises
    ------
    DatasetError
        If a folder is missing, or no image has labels.
    """
    if labels is not None and labels.resolve() != images.resolve():
        return match_files(images, labels)
    return [pair for source in find_datasets(images, "train").values() for pair in source.pairs]


def check_name(name: str, overwrite: bool) -> Path:
    """Return where a model of that name goes.

    Raises
    ------
    DatasetError
        If the name can't be a file's, belongs to a shipped model, or is taken.
    OutputError
        If nothing can be written there.
    """
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise DatasetError(
            f"{name!r} can't be a model's name: use letters, digits, '-', '_' and '.'."
        )
    if any(info.shipped and info.name == name for info in list_models()):
        raise DatasetError(f"{name!r} is the name of a model that came with the package.")
    path = user_models_folder() / f"{name}.safetensors"
    if path.exists() and not overwrite:
        raise DatasetError(f"There is a model {name!r} already; --overwrite replaces it.")
    check_writable(path)
    return path


def finetune(
    pairs: Sequence[Pair],
    name: str,
    *,
    weights: str = "tiny",
    minutes: float = 30,
    learning_rate: float = 2e-4,
    overwrite: bool = False,
    seed: int = 0,
    device: str = "cpu",
    sampling: SamplingOptions = OWN_OBJECTS,
) -> Path:
    """Fine-tune a model and store it under a name.

    Ctrl-C or SIGTERM ends the training early, and what was learned by then is stored; another
    Ctrl-C quits at once.

    Parameters
    ----------
    pairs : sequence of Pair
        Images and their labels, from `find_training_pairs`.
    name : str
        Name of the new model.
    weights : str
        Name or path of the model to start from.
    minutes : float
        How long to train; the weights say how long it was.
    learning_rate : float
        Peak learning rate of AdamW.
    overwrite : bool
        Whether a model of that name may be replaced.
    seed : int
        Of the random choices.
    device : str
        Where to train, ``"cpu"`` or ``"cuda"``.
    sampling : SamplingOptions
        How crops are drawn; by default the labelled objects alone are learned.

    Returns
    -------
    Path
        Of the new weights.

    Raises
    ------
    DatasetError
        If the name can't be used, or there is nothing to train on.
    WeightsError
        If the weights can't be read or written.
    KeyboardInterrupt
        At a second Ctrl-C; nothing is stored then.
    """
    path = check_name(name, overwrite)
    dataset, skipped = make_dataset(name, pairs)
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    # The object head learns nothing here: a lab's images may have cells without a label.
    options = TrainingOptions("adamw", learning_rate, warm_up=20, average=0.99, auxiliary=0)
    trainer = Trainer(load_model(weights).to(device), options)
    drawing, shapes = rng.spawn(2)
    source = prefetch(batches([dataset], sampling, drawing, shapes))
    budget = minutes * 60
    begun = time.monotonic()
    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
    elapsed = 0.0

    def store() -> Path:
        training = {
            "start": weights,
            "images": len(dataset.images),
            "objects": dataset.objects,
            "steps": trainer.steps,
            "hours": round(min(elapsed, budget) / 3600, 4),
        }
        return save_weights(path, trainer.average, {"training": training}, half=True)

    with StopRequest() as stop:
        try:
            with tqdm(total=budget, bar_format=form, desc=f"training {name}") as bar:
                while (elapsed := time.monotonic() - begun) < budget and not stop.asked:
                    result = trainer.step(next(source), elapsed / budget, rng)
                    bar.update(min(time.monotonic() - begun, budget) - bar.n)
                    bar.set_postfix_str(f"IoU {result.first_iou:.2f} -> {result.last_iou:.2f}")
        except Exception:
            if trainer.steps:  # such as a drive that is gone: what was learned is not lost
                print(f"What was learned by then is stored in {store()}.", file=sys.stderr)
            raise
        return store()


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    result.add_argument("--images", type=Path, required=True, help="folder of images, or a dataset")
    result.add_argument(
        "--labels", type=Path, help="folder of label maps (default: beside the images)"
    )
    result.add_argument("--name", required=True, help="name of the new model")
    result.add_argument("--weights", default="tiny", help="model to start from (name or path)")
    result.add_argument("--minutes", type=float, default=30, help="training time (default: 30)")
    result.add_argument("--learning-rate", type=float, default=2e-4)
    result.add_argument("--overwrite", action="store_true", help="replace a model of that name")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return result


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    pairs = find_training_pairs(options.images, options.labels)
    print(f"{len(pairs)} images with labels")
    path = finetune(
        pairs,
        options.name,
        weights=options.weights,
        minutes=options.minutes,
        learning_rate=options.learning_rate,
        overwrite=options.overwrite,
        seed=options.seed,
        device=options.device,
    )
    training = read_metadata(path)["training"]
    print(
        f"Trained for {training['hours'] * 60:.1f} of {options.minutes:g} minutes "
        f"({training['steps']} steps).\n"
        f"The model {options.name!r} is stored as {path}. Choose it in the widget, or use it with\n"
        f"  inter2former segment IMAGE CLICKS.csv --out labels.tif --model {options.name}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
