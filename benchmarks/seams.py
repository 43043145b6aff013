"""Objects in the middle of windows and on borders of windows: is there a difference?

python benchmarks/seams.py --data POOL --objects 20 --json seams.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from napari_inter2former.benchmark._objects import compared, ious_by_place
from napari_inter2former.evaluation import find_datasets, object_regions
from napari_inter2former.evaluation.datasets import MIN_AREA, select_objects
from napari_inter2former.predictor import Predictor


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of datasets")
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--objects", type=int, default=20, help="of each dataset")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    predictor = Predictor(options.weights)
    found: dict[str, list[dict[str, float]]] = {}
    for name, source in find_datasets(options.data, "val").items():
        chosen = select_objects(source, options.objects, options.seed, MIN_AREA).objects
        for pair, numbers in chosen.items():
            picture, labels = pair.read()
            pixels = np.asarray(picture.data, np.float32)
            grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
            regions = object_regions(labels)
            for number in numbers:
                ious = ious_by_place(predictor, grey.clip(0, 255), regions[number])
                found.setdefault(name, []).append(ious)
        print(name, compared(found[name]), flush=True)
    results = {name: compared(ious) for name, ious in found.items()}
    results["all"] = compared([one for ious in found.values() for one in ious])
    print("all", results["all"])
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
