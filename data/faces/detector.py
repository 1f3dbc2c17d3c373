"""Where the faces in a photo are: MTCNN on onnxruntime.

In: a photo, uint8 (height, width, 3). Out: faces with box, five landmarks and score, largest score
first. Three networks in a row: PNet looks at every place of an image pyramid, RNet and ONet judge
and refine what it proposes; then ONet looks again, several times. Arithmetic is that of the `mtcnn`
package 1.0.0, with two bounds that a service needs: proposals are capped, and the work can be
called off between steps.

Boxes are (x1, y1, x2, y2), points (x, y), in pixels of the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.faces.mtcnn_graphs import graphs
from data.faces.settings import DetectorConfig

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
      box: x1, y1, x2, y2; within the photo.
      landmarks: float32, (5, 2), in the order of DetectorConfig.landmarks; may lie outside.
      score: mean of ONet's probabilities that this is a face, over several looks at it.
    """

    box: tuple[float, float, float, float]
    landmarks: Floats
    score: float

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        x1, y1, x2, y2 = self.box
        return max(x2 - x1, y2 - y1)


@dataclass(frozen=True)
class Found:
    """What was found in one photo.

    Attributes:
      faces: best score first, in pixels of the photo as given.
      rotated_deg: by how much the photo had to be turned (counter-clockwise) to find them.
      doubtful: places that may be faces, below the score that an answer takes.
    """

    faces: tuple[Face, ...]
    rotated_deg: int = 0
    doubtful: tuple[Face, ...] = ()


def _nothing() -> None:
    pass


class FaceDetector:
    """Holds the three sessions; may be used by several threads at a time.

    Args:
      config: None takes the defaults.

    Raises:
      WeightsError: as data.faces.mtcnn_graphs.graphs.
    """

    def __init__(self, config: DetectorConfig | None = None) -> None:
        import onnxruntime

        self.config = config or DetectorConfig()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # Every photo has another size: the arena would keep the largest of each for ever.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        self._sessions: dict[str, Any] = {
            name: onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            for name, graph in graphs().items()
        }

    def find(
        self,
        photo: NDArray[np.uint8],
        *,
        retry_rotated: bool | None = None,
        check: Callable[[], None] = _nothing,
    ) -> Found:
        """Finds faces; without a sure one, also looks at the photo turned by 90, 180 and 270.

        Args:
          photo: uint8, (height, width, 3).
          retry_rotated: whether to turn it; None as the configuration says.
          check: called between steps; what it raises stops the work.
        """
        small, scale = self._shrunk(photo)
        turns, faces = 0, self.detect(small, check=check)
        if retry_rotated is None:
            retry_rotated = self.config.retry_rotated
        if retry_rotated and _best(faces) < self.config.sure_score:
            # All turns, and the surest face decides: one that lies on its side is now and then
            # found as it is, with a middling score and landmarks that are wrong. The photo as it
            # is goes first: upright faces score nearly as well when they are turned.
            found = {0: faces}
            for n in (1, 2, 3):
                found[n] = self.detect(np.ascontiguousarray(np.rot90(small, n)), check=check)
            turns = max(found, key=lambda n: _best(found[n]))
            least = max(_best(faces) + self.config.turn_margin, self.config.turned_score)
            if _best(found[turns]) < least:
                turns = 0
            faces = [_turned_back(f, turns, small.shape[:2]) for f in found[turns]]
        sized = [_resized(face, scale, photo.shape[:2]) for face in faces]
        least = self.config.answer_score
        return Found(
            tuple(face for face in sized if face.score >= least),
            90 * turns,
            tuple(face for face in sized if face.score < least),
        )

    def _shrunk(self, photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        """Returns the photo within max_pixels, and (x, y) factors back to its own pixels."""
        height, width = photo.shape[:2]
        factor = math.sqrt(self.config.max_pixels / (height * width))
        if factor >= 1:
            return photo, (1.0, 1.0)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = Image.fromarray(photo).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
        return np.asarray(small), (width / size[0], height / size[1])

    def detect(
        self, photo: NDArray[np.uint8], *, check: Callable[[], None] = _nothing
    ) -> list[Face]:
        """Finds faces in a photo as it is: not shrunk, not turned."""
        boxes = self._propose(photo, check)
        check()
        boxes, _ = self._refine(photo, boxes, "rnet", self.config.rnet_score, "union")
        check()
        least = self.config.onet_score
        boxes, landmarks = self._refine(photo, _squared(boxes), "onet", least, "smaller")
        check()
        height, width = photo.shape[:2]
        limits = np.array([width - 1, height - 1] * 2, np.float32)
        boxes[:, :4] = np.clip(boxes[:, :4], 0, limits)
        scores = self._looked_at_again(photo, boxes)
        faces = []
        for box, points, score in zip(boxes, landmarks, scores, strict=True):
            x1, y1, x2, y2 = box[:4].tolist()
            if score >= self.config.min_score and x2 - x1 >= 1 and y2 - y1 >= 1:
                faces.append(Face((x1, y1, x2, y2), points.reshape(2, 5).T.copy(), float(score)))
        return sorted(faces, key=lambda face: -face.score)

    def _propose(self, photo: NDArray[np.uint8], check: Callable[[], None]) -> Floats:
        """PNet over the pyramid -> square boxes, (n, 5) with the score last."""
        config, image = self.config, Image.fromarray(photo)
        cell_px, most = config.cell_px, config.max_proposals
        proposals = [np.empty((0, 5), np.float32)]
        for scale in _scales(min(image.size), config):
            check()
            size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
            if min(size) < cell_px:
                continue
            level = np.asarray(image.resize(size, Image.Resampling.BOX))
            face, box = self._sessions["pnet"].run(["face", "box"], {"pixels": level[None]})
            rows, columns = np.nonzero(face[0] > config.pnet_score)
            corner = float(config.step_px) * np.stack([columns, rows, columns, rows], 1)
            corner += np.array([0, 0, cell_px, cell_px])
            corners = (corner + cell_px * box[0][:, rows, columns].T) / scale
            found = np.column_stack([corners, face[0][rows, columns]]).astype(np.float32)
            proposals.append(suppress(found, config.level_overlap, "union", most))
        every = np.concatenate(proposals)
        return _squared(suppress(every, config.overlap, "union", most))

    def _refine(
        self,
        photo: NDArray[np.uint8],
        boxes: Floats,
        network: str,
        min_score: float,
        overlap: str,
    ) -> tuple[Floats, Floats]:
        """RNet or ONet -> surviving boxes (m, 5) and, of ONet, landmarks (m, 10)."""
        if not len(boxes):
            return boxes, np.empty((0, 10), np.float32)
        config = self.config
        size_px = config.rnet_px if network == "rnet" else config.onet_px
        patches = _patches(photo, boxes, size_px, config.outside)
        outputs = ["face", "box", *(["landmarks"] if network == "onet" else [])]
        face, offsets, *rest = self._sessions[network].run(outputs, {"pixels": patches})
        size = boxes[:, 2:4] - boxes[:, :2] + 1  # (n, 2): width, height
        landmarks = np.zeros((len(boxes), 10), np.float32)
        if rest:  # x of five points, then y; relative to the box before it is refined
            landmarks = np.repeat(size, 5, 1) * rest[0] + np.repeat(boxes[:, :2], 5, 1) - 1
        refined = np.column_stack([boxes[:, :4] + offsets * np.tile(size, 2), face])
        refined = np.column_stack([refined, landmarks]).astype(np.float32)[face > min_score]
        kept = suppress(refined, config.overlap, overlap, config.max_proposals)
        return kept[:, :5], kept[:, 5:]

    def _looked_at_again(self, photo: NDArray[np.uint8], boxes: Floats) -> Floats:
        """ONet's mean score over shifted, resized and mirrored patches of each box; (n,).

        A face is one however it is cut out. What only happens to look like one does not last: 98 %
        of real faces have 0.95 or more, and six of 2,091 photos without any.
        """
        if not len(boxes):
            return np.empty(0, np.float32)
        square = _squared(boxes)
        side = square[:, 2] - square[:, 0]
        x, y = (square[:, 0] + square[:, 2]) / 2, (square[:, 1] + square[:, 3]) / 2
        every = []
        for right, down, size in self.config.looks:
            cx, cy, half = x + right * side, y + down * side, size * side / 2
            every.append(np.stack([cx - half, cy - half, cx + half, cy + half], 1))
        patches = _patches(
            photo, np.concatenate(every), self.config.onet_px, self.config.outside
        )  # (looks * n, 48, 48, 3)
        both = np.concatenate([patches, patches[:, :, ::-1]])
        [face] = self._sessions["onet"].run(["face"], {"pixels": both})
        by_look = np.sort(face.reshape(-1, len(boxes)), axis=0)  # (looks, n), lowest first
        scores: Floats = by_look[self.config.looks_left_out :].mean(0)
        return scores


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _scales(shorter_px: int, config: DetectorConfig) -> list[float]:
    """Scales at which a face of min_face_px and larger ones fill PNet's cell."""
    if shorter_px < config.cell_px:
        return []
    octaves = math.log(shorter_px / config.cell_px) / math.log(config.pyramid_factor)
    first = config.cell_px / config.min_face_px
    return [first * config.pyramid_factor**level for level in range(round(-(octaves + 1)))]


def suppress(boxes: Floats, threshold: float, overlap: str, most: int) -> Floats:
    """Keeps the best box, drops those that overlap it by more than `threshold`, and so on.

    Args:
      boxes: (n, 5 or more): x1, y1, x2, y2, score, ….
      threshold: largest overlap that both survive.
      overlap: "union", intersection over union; or "smaller", over the smaller area.
      most: boxes that are looked at, the best ones.

    Returns:
      The kept ones, best first.
    """
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")[:most]]
    x1, y1, x2, y2 = boxes[:, :4].T
    area = (x2 - x1) * (y2 - y1)
    w = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    h = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    shared = np.maximum(w, 0) * np.maximum(h, 0)
    smaller = np.minimum(area[:, None], area)
    base = area[:, None] + area - shared if overlap == "union" else smaller
    covers = np.triu(shared > threshold * base, k=1)  # row is the better one
    alive = np.ones(len(boxes), np.bool_)
    for better in range(len(boxes)):
        if alive[better]:  # a box that is itself dropped drops no other
            alive &= ~covers[better]
    kept: Floats = boxes[alive]
    return kept


def _squared(boxes: Floats) -> Floats:
    """Grows the shorter side about the centre."""
    squared = boxes.copy()
    size = boxes[:, 2:4] - boxes[:, :2]
    longest = size.max(1, keepdims=True)
    squared[:, :2] += (size - longest) / 2
    squared[:, 2:4] = squared[:, :2] + longest
    return squared


def _patches(photo: NDArray[np.uint8], boxes: Floats, size_px: int, outside: float) -> Floats:
    """Bilinear samples of each box; (n, size_px, size_px, 3), 0-255, `outside` beyond the photo.

    The grid is that of tf.image.crop_and_resize, with which the package cuts: corner to corner,
    in coordinates that are divided by the photo's size and multiplied by its size - 1.
    """
    height, width = photo.shape[:2]
    steps = np.linspace(0, 1, size_px, dtype=np.float32)
    inner = np.array([(width - 1) / width, (height - 1) / height] * 2, np.float32)
    x1, y1, x2, y2 = (boxes[:, :4] * inner).T
    x = x1[:, None] + (x2 - x1)[:, None] * steps  # (n, size)
    y = y1[:, None] + (y2 - y1)[:, None] * steps
    inside = ((y >= 0) & (y <= height - 1))[:, :, None] & ((x >= 0) & (x <= width - 1))[:, None, :]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - left)[:, None, :, None], (y - top)[:, :, None, None]

    def at(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        return photo[rows[:, :, None], columns[:, None, :]].astype(np.float32)

    upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx
    lower = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx
    patches = upper * (1 - fy) + lower * fy
    return np.where(inside[..., None], patches, np.float32(outside)).astype(np.float32)


def _turned_back(face: Face, quarter_turns: int, shape: tuple[int, ...]) -> Face:
    """From pixels of np.rot90(photo, quarter_turns) to pixels of the photo of that shape."""
    height, width = shape[0], shape[1]

    def back(points: Floats) -> Floats:
        x, y = points.T
        turned = {
            0: (x, y),
            1: (width - 1 - y, x),
            2: (width - 1 - x, height - 1 - y),
            3: (y, height - 1 - x),
        }[quarter_turns]
        return np.stack(turned, 1).astype(np.float32)

    corners = back(np.array(face.box, np.float32).reshape(2, 2))
    (x1, y1), (x2, y2) = corners.min(0).tolist(), corners.max(0).tolist()
    return replace(face, box=(x1, y1, x2, y2), landmarks=back(face.landmarks))


def _resized(face: Face, scale: tuple[float, float], shape: tuple[int, ...]) -> Face:
    if scale == (1.0, 1.0):
        return face
    factor = np.array(scale, np.float32)
    # Pixel centres: (x + 0.5) * scale - 0.5.
    corners = (np.array(face.box, np.float32).reshape(2, 2) + 0.5) * factor - 0.5
    corners = np.clip(corners, 0, np.array([shape[1] - 1, shape[0] - 1]))
    landmarks = ((face.landmarks + 0.5) * factor - 0.5).astype(np.float32)
    (x1, y1), (x2, y2) = corners.tolist()
    return replace(face, box=(x1, y1, x2, y2), landmarks=landmarks)
