"""What is told of a face: from numbers to the API's answers.

In: what analysis.py found. Out: schemas.py's answers, for the routes and for `genq predict`.
"""

from __future__ import annotations

from data import contract
from data.faces.detector import Face
from data.faces.settings import DetectorConfig
from serving.api import schemas
from serving.api.analysis import FaceAnswer


def face_answer(
    answer: FaceAnswer, labels: tuple[str, str], crop: str | None = None
) -> schemas.FaceAnswer:
    """Returns what is told of one face.

    Args:
      answer: of the model.
      labels: the release's.
      crop: a JPEG as base64.
    """
    face = answer.face
    points = {
        name: schemas.Point(x=round(float(x), 2), y=round(float(y), 2))
        for name, (x, y) in zip(DetectorConfig.landmarks, face.landmarks, strict=True)
    }
    words = said(answer.p_positive, answer.label, answer.uncertain, labels)
    return schemas.FaceAnswer(
        **words.model_dump(),
        box=_box(face),
        landmarks=schemas.Landmarks(**points),
        detector_score=min(1.0, face.score),
        size_px=round(face.size_px, 1),
        crop_jpeg=crop,
    )


def doubtful_face(face: Face) -> schemas.DoubtfulFace:
    """Returns what is told of a place that may be a face."""
    score, size_px = min(1.0, face.score), round(face.size_px, 1)
    return schemas.DoubtfulFace(box=_box(face), detector_score=score, size_px=size_px)


def _box(face: Face) -> schemas.Box:
    x1, y1, x2, y2 = (round(v, 2) for v in face.box)
    return schemas.Box(x1=x1, y1=y1, x2=x2, y2=y2)


def said(p_positive: float, label: int, uncertain: bool, labels: tuple[str, str]) -> schemas.Answer:
    """Returns an answer: "uncertain" in place of the label where the model abstains."""
    name = contract.UNCERTAIN if uncertain else labels[label]
    return schemas.Answer(p_positive=p_positive, label=name, uncertain=uncertain)
