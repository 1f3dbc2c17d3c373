"""What benchmarks/real_faces.py compares and trains: genq's preset, and the seed project's recipe.

Each function runs in a process of its own, gets a Job, and leaves `result.json` and, of a
contestant, `answers.npz` in its folder: for each set "<set>/p" (NaN without a face) and, from genq,
"<set>/uncertain". All read the same examples, which example-gen has drawn.
"""

from __future__ import annotations

import dataclasses
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

LABELS = "labels.csv"
DETECTED = "+detector"
"""Suffix of the answers that genq gives to the test images by its own detector, as to photos."""
SEED_BOX_WIDER, SEED_BOX_HIGHER = 1.8, 1.44
"""How the seed project widens the box of its detector; its crops are not aligned."""
FULL_SIZE_PX, FULL_EPOCHS = 299, 20
"""What the seed project trains at, and for how long."""
TIMED = 200
"""Images of which the time is measured one by one."""


@dataclass(frozen=True)
class Job:
    """What a worker gets, as JSON.

    Attributes:
      data, settings: the copy of CelebA, and `--set` of the celeba preset.
      examples: folder of example-gen's output.
      sets: name -> folder with images and labels.csv; "test" is the held-out split.
      seed_size_px, seed_epochs: the scale of the seed's recipe.
      out: the worker's folder.
    """

    data: str
    settings: tuple[str, ...]
    examples: str
    sets: dict[str, str]
    seed_size_px: int
    seed_epochs: int
    out: str

    @property
    def folder(self) -> Path:
        """The worker's folder."""
        return Path(self.out)

    def config(self) -> Any:
        """Returns the celeba preset with the settings."""
        from pipeline.config import load

        return load("celeba", overrides=(*self.settings, f"data.root={self.data}"))

    def finish(self, result: dict[str, Any], answers: dict[str, NDArray[Any]]) -> None:
        """Leaves what was found; the JSON last, which says that all is there."""
        if answers:
            np.savez(self.folder / "answers.npz", **answers)
        (self.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


@dataclass(frozen=True, eq=False)
class FaceSet:
    """A labelled folder: files in the order of its labels.csv; labels are True for men."""

    files: tuple[Path, ...]
    labels: NDArray[np.bool_]
    identity: NDArray[Any] | None


def face_set(folder: Path) -> FaceSet:
    """Reads labels.csv (image_id, Male 0 or 1 and, if known, identity) and finds the images.

    They lie beside it or in `images/`. Ends the program where a label or an image is wrong.
    """
    try:
        table = pd.read_csv(folder / LABELS, dtype={"image_id": str})
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"{folder / LABELS} cannot be read: {error}. A set of photos is a folder with images "
            f"and a {LABELS} that starts with image_id,Male"
        ) from error
    if not {"image_id", "Male"} <= set(table) or not table["Male"].isin((0, 1)).all():
        raise SystemExit(
            f"{folder / LABELS} has the columns {', '.join(table)}; expected image_id and Male, "
            "which is 0 or 1 in every row."
        )
    where = folder / "images" if (folder / "images").is_dir() else folder
    files = tuple(where / name for name in table["image_id"])
    missing = [file for file in files if not file.exists()]
    if missing:
        raise SystemExit(
            f"{folder / LABELS} names {len(missing)} images that are not there, {missing[0]} first."
        )
    identity = table["identity"].to_numpy() if "identity" in table else None
    return FaceSet(files, table["Male"].to_numpy() == 1, identity)


def pixels(files: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """Yields uint8 (height, width, 3) of each file, turned as EXIF says."""
    for file in files:
        with Image.open(file) as image:
            yield np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


# --- The sample ----------------------------------------------------------------------------------


def examples(job: Job) -> None:
    """Draws the preset's sample as the pipeline does, and lays the test split out as a set."""
    from tfx.types import standard_artifacts

    from components.example_files import example_dataset
    from components.example_gen.artifacts import SamplingManifest
    from components.example_gen.component import CelebAExampleGen
    from components.example_gen.executor import Executor
    from pipeline.beam_config import BeamConfig

    config = job.config()
    node = CelebAExampleGen(
        str(config.data_root), config.sampling, config.data.faults, config.data.shards,
        config.data.window, config.label,
    )  # fmt: skip
    written, manifest = standard_artifacts.Examples(), SamplingManifest()
    written.uri, manifest.uri = job.examples, str(job.folder / "manifest")
    # With a setup file named, TFX does not pack itself for remote workers, which there are none of.
    setup = job.folder / "setup.py"
    setup.write_text("import setuptools\nsetuptools.setup(name='none', py_modules=[])\n")
    flags = [*BeamConfig().flags(), f"--setup_file={setup}"]
    executor = Executor(Executor.Context(beam_pipeline_args=flags, tmp_dir=str(job.folder / "tmp")))
    executor.Do({}, {"examples": [written], "manifest": [manifest]}, node.spec.exec_properties)
    test = Path(job.sets["test"])
    (test / "images").mkdir(parents=True)
    rows = ["image_id,Male,identity"]
    for number, record in enumerate(example_dataset([f"{job.examples}/Split-test/*"])):
        image_id, image, label, identity = _features(record.numpy())
        (test / "images" / image_id).write_bytes(image)
        rows.append(f"{image_id},{label},{identity if identity is not None else -1 - number}")
    (test / LABELS).write_text("\n".join(rows) + "\n")
    counts = json.loads((job.folder / "manifest" / "manifest.json").read_text())["counts"]
    job.finish({"images": {split: sum(groups.values()) for split, groups in counts.items()}}, {})


def _features(record: bytes) -> tuple[str, bytes, int, int | None]:
    """Returns image_id, image, label and identity of a serialized example."""
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    [image_id] = features["image_id"].bytes_list.value
    [image] = features["image"].bytes_list.value
    [label] = features["label"].int64_list.value
    identity = list(features["identity"].int64_list.value) if "identity" in features else []
    return image_id.decode(), image, label, identity[0] if identity else None


# --- genq ----------------------------------------------------------------------------------------


def genq(job: Job) -> None:
    """The preset's training as TFX's Trainer calls it, and the model's answers."""
    from pydantic import TypeAdapter

    from components.predictions.scoring import ScoredModel
    from components.trainer import run_fn
    from components.trainer.config import TrainerConfig

    config = job.config()
    recipe = TypeAdapter(TrainerConfig).dump_json(config.trainer).decode()
    model, run = job.folder / "model", job.folder / "run"
    arguments = SimpleNamespace(
        train_files=[f"{job.examples}/Split-train/*"],
        eval_files=[f"{job.examples}/Split-val/*"],
        serving_model_dir=str(model),
        model_run_dir=str(run),
        hyperparameters=None,
        custom_config={run_fn.CONFIG_KEY: recipe},
    )
    started_s = time.perf_counter()
    run_fn.run_fn(arguments)
    training_s = time.perf_counter() - started_s
    scored, answers, seconds = ScoredModel(str(model)), {}, {}
    for name, folder in job.sets.items():
        found = face_set(Path(folder))
        if name == "test":
            answers |= _aligned(scored, name, found)
        suffix = DETECTED if name == "test" else ""
        detected, each_s = _detected(scored, found, photos=name != "test")
        answers |= {f"{name}{suffix}/{key}": value for key, value in detected.items()}
        seconds[name] = each_s
    calibration = json.loads((run / "calibration.json").read_text())
    job.finish(
        {
            "training_s": training_s,
            "epochs": len((run / "history.csv").read_text().splitlines()) - 1,
            "recipe": json.loads(recipe),
            "calibration": calibration,
            "seconds_an_image": seconds,
        },
        answers,
    )


def _aligned(model: Any, name: str, faces: FaceSet) -> dict[str, NDArray[Any]]:
    """Returns the answers to images that are aligned already."""
    rows = []
    for start in range(0, len(faces.files), 64):
        encoded = [file.read_bytes() for file in faces.files[start : start + 64]]
        rows.append(model.answer_images(encoded))
    return {
        f"{name}/p": np.concatenate([row["p_positive"] for row in rows]).astype(np.float64),
        f"{name}/uncertain": np.concatenate([row["uncertain"] for row in rows]).astype(bool),
    }


def _detected(model: Any, faces: FaceSet, *, photos: bool) -> tuple[dict[str, NDArray[Any]], float]:
    """Returns the answers to what the application's detector cuts out, and seconds an image."""
    from data.faces.crops import detector_crop
    from data.faces.detector import FaceDetector

    detector = FaceDetector()
    p = np.full(len(faces.files), np.nan)
    uncertain = np.zeros(len(faces.files), bool)
    seconds = []
    for number, file in enumerate(faces.files):
        encoded = file.read_bytes()
        started_s = time.perf_counter()
        crop = detector_crop(encoded, detector, photo=photos)
        if crop is not None:
            answer = model.answer_crops([crop])
            p[number], uncertain[number] = answer["p_positive"][0], answer["uncertain"][0]
        seconds.append(time.perf_counter() - started_s)
    return {"p": p, "uncertain": uncertain}, statistics.median(seconds[:TIMED])


# --- The seed project ----------------------------------------------------------------------------


def seed(job: Job) -> None:
    """The seed's recipe: whole network, batch 128, Adam at 1e-3, zoom, shear, mirror, float32.

    The epoch with the best accuracy on `val` counts. Memory too small for a batch of 128 gets 32.
    """
    import keras
    import psutil
    from recipes import FULL, seed_batches, seed_network
    from recipes import seed as timed_at_full_size

    from components.trainer import images

    keras.utils.set_random_seed(0)
    size_px, config = job.seed_size_px, job.config()
    weights = Path(config.trainer.weights)
    train = images.read([f"{job.examples}/Split-train/*"])
    val = images.read([f"{job.examples}/Split-val/*"])
    needed = 20 * 2**30 * (size_px / FULL_SIZE_PX) ** 2
    batch = 128 if psutil.virtual_memory().available > needed else 32
    batch = min(batch, len(train))
    best = job.folder / "best.weights.h5"
    started_s = time.perf_counter()
    network = seed_network(size_px, weights)
    history = network.fit(
        seed_batches(train, size_px, batch, augment=True),
        validation_data=seed_batches(val, size_px, 32, augment=False),
        epochs=job.seed_epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                best, "val_accuracy", save_best_only=True, save_weights_only=True, mode="max"
            )
        ],
    ).history
    training_s = time.perf_counter() - started_s
    network.load_weights(best)
    answers = {
        f"{name}/p": _seed_answers(network, size_px, face_set(Path(folder)), name != "test")
        for name, folder in job.sets.items()
    }
    scaled = (size_px, job.seed_epochs) != (FULL_SIZE_PX, FULL_EPOCHS)
    full_s = None if scaled else training_s
    if scaled and size_px >= 96:  # --quick has no time for it
        each = timed_at_full_size(dataclasses.replace(FULL, seed_steps=4, val=64), weights, best)
        full_s = FULL_EPOCHS * (len(train) * each["train_s"] + len(val) * each["val_s"])
    job.finish(
        {
            "training_s": training_s,
            "full_s": full_s,
            "scaled": scaled,
            "scale": {"size_px": size_px, "epochs": job.seed_epochs},
            "batch": batch,
            "val_accuracy": [float(v) for v in history["val_accuracy"]],
        },
        answers,
    )


def _seed_answers(network: Any, size_px: int, faces: FaceSet, photos: bool) -> NDArray[np.float64]:
    """Returns p_male; of photos what the seed's application crops, all of it without a face."""
    import tensorflow as tf

    from components.trainer import preprocessing
    from data.faces.detector import FaceDetector

    detector = FaceDetector() if photos else None
    found: list[NDArray[np.float64]] = []
    for start in range(0, len(faces.files), 32):
        encoded = [file.read_bytes() for file in faces.files[start : start + 32]]
        if detector:
            encoded = [_seed_crop(image, detector) for image in encoded]
        inputs = preprocessing.decode_batch(tf.constant(encoded), size_px)
        found.append(network.predict_on_batch(inputs)[:, 1])
    return np.concatenate(found).astype(np.float64)


def _seed_crop(photo: bytes, detector: Any) -> bytes:
    """Returns the largest face as the seed cuts it out, or the whole photo, as PNG."""
    with Image.open(io.BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    faces = detector.find(np.asarray(image)).faces
    if faces:
        x1, y1, x2, y2 = max(faces, key=lambda f: f.size_px).box
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        half_w, half_h = (x2 - x1) / 2 * SEED_BOX_WIDER, (y2 - y1) / 2 * SEED_BOX_HIGHER
        corners = (x - half_w, y - half_h, x + half_w, y + half_h)
        left, top, right, bottom = (round(c) for c in corners)
        image = image.crop(
            (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
        )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def random_weights(job: Job) -> None:
    """Weights for --quick, in the worker's folder."""
    from recipes import make_weights

    make_weights(job.folder / "random.weights.h5", 75)
    job.finish({}, {})


WORKERS: dict[str, Callable[[Job], None]] = {
    "examples": examples,
    "genq": genq,
    "seed": seed,
    "random-weights": random_weights,
}
