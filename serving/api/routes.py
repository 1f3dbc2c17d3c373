"""The routes /v1/…, health and metrics."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from data.faces.photos import KNOWN
from data.releases.release import ONNX_FILES
from serving.api import analysis, drift, images, schemas
from serving.api.answers import doubtful_face, face_answer, said
from serving.api.errors import ApiError
from serving.api.metrics import CONTENT_TYPE
from serving.api.releases import Choice, Engine
from serving.api.state import State, request_id, state_of
from serving.api.upload import CROP_FIELDS, PHOTO_FIELDS, read_files, upload_openapi
from serving.api.workers import Check

DOCUMENT_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "font-src data:; sandbox allow-scripts allow-popups; frame-ancestors 'self'"
)
"""Model card and report are single files that the pipeline wrote; they run in an origin of their
own ("sandbox") and reach nothing."""

Flag = Annotated[bool, Query()]
Lang = Annotated[Literal["en", "id"] | None, Query(description="Language of error messages.")]


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Returns what OpenAPI says of answers that are no result."""
    return {code: {"model": schemas.Error} for code in codes}


def file_of(*kinds: str, codes: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    """Returns what OpenAPI says of a route that answers with a file; errors are JSON there, too."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    content = {kind: {"schema": {"type": "string"}} for kind in kinds}
    return {
        200: {"description": "The file", "content": content},
        **{code: {"description": "An error", "content": error} for code in codes},
    }


v1 = APIRouter(prefix="/v1", tags=["v1"])
operations = APIRouter(tags=["operations"])

_EXAMPLE_FACE: Final = {
    "p_positive": 0.07, "label": "female", "uncertain": False,
    "box": {"x1": 181.4, "y1": 63.2, "x2": 265.6, "y2": 171.7},
    "landmarks": {
        "left_eye": {"x": 203.4, "y": 100.1}, "right_eye": {"x": 245.9, "y": 102.8},
        "nose": {"x": 224.9, "y": 127.0}, "left_mouth": {"x": 202.1, "y": 138.8},
        "right_mouth": {"x": 244.1, "y": 140.7},
    },
    "detector_score": 0.999, "size_px": 108.5, "crop_jpeg": None,
}  # fmt: skip
_EXAMPLE: Final = {
    "request_id": "5e0c6f2b9a4d1e77",
    "image": {"width": 512, "height": 512, "format": "PNG", "rotated_deg": 0},
    "faces": [_EXAMPLE_FACE],
    "unusable_faces": 0,
    "doubtful": [],
    "release": {
        "model_name": "gender", "version": 1764000000, "variant": "int8", "canary": False,
        "labels": ["female", "male"], "synthetic": False,
    },
    "timings_ms": {"decode": 8.1, "detect": 77.0, "align": 1.2, "classify": 27.4, "total": 114.0},
    "preview_jpeg": None,
    "notice": schemas.NOTICE,
}  # fmt: skip


@v1.post(
    "/faces",
    responses={
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **errors(401, 408, 413, 415, 422, 429, 503, 504),
    },
    openapi_extra=upload_openapi(PHOTO_FIELDS),
    summary="Every face in a photo",
)
async def faces(
    request: Request, preview: Flag = False, crops: Flag = False, lang: Lang = None
) -> schemas.Faces:
    """Finds every face in a photo and says how it appears, or that the model would rather not say.

    The photo comes as the form field `file`, or as the plain body with an image's content type. It
    is never stored.
    """
    state = state_of(request)
    state.workers.require_room()
    [data] = await read_files(request, state.settings, PHOTO_FIELDS, 1)
    choice = state.releases.choose()
    timer = analysis.Timer()

    def work(check: Check) -> tuple[analysis.Analysis, str | None, list[str | None]]:
        found = state.analyser.photo(data, choice.engine, check, timer)
        with timer.step("draw"):
            drawn = images.preview(found.photo.pixels, found.found) if preview else None
            cut = [images.jpeg_base64(a.crop, 90) if crops else None for a in found.answers]
        return found, drawn, cut

    with timer.step("total"):
        found, drawn, cut = await state.workers.run(work, request)
    state.count(choice, found.answers, timer)
    return schemas.Faces(
        request_id=request_id(request),
        image=schemas.ImageInfo(
            width=found.photo.width,
            height=found.photo.height,
            format=found.photo.format,
            rotated_deg=found.rotated_deg,
            cut_off=found.photo.cut_off,
        ),
        faces=[
            face_answer(a, choice.engine.release.labels, c)
            for a, c in zip(found.answers, cut, strict=True)
        ],
        unusable_faces=found.unusable,
        doubtful=[doubtful_face(face) for face in found.doubtful],
        release=answered_by(choice),
        timings_ms=_rounded(timer),
        preview_jpeg=drawn,
    )


@v1.post(
    "/classify",
    responses=errors(401, 408, 413, 415, 422, 429, 503, 504),
    openapi_extra=upload_openapi(CROP_FIELDS, several=True),
    summary="Crops that are aligned already",
)
async def classify(request: Request, lang: Lang = None) -> schemas.Classified:
    """Answers about crops that lie as CelebA's do (178x218, eyes at (69, 111) and (108, 111)).

    Nothing is searched or turned: a photo that is no such crop gets an answer that means nothing.
    """
    state = state_of(request)
    state.workers.require_room()
    files = await read_files(request, state.settings, CROP_FIELDS, state.settings.max_crops)
    choice = state.releases.choose()
    timer = analysis.Timer()

    def work(check: Check) -> list[schemas.Answer]:
        answers = []
        for data in files:
            check()
            _, found = state.analyser.crop(data, choice.engine, timer)
            p_positive, label = float(found.p_positive[0]), int(found.label[0])
            uncertain = bool(found.uncertain[0])
            state.metrics.answer(choice.engine, p_positive, label, uncertain)
            answers.append(said(p_positive, label, uncertain, choice.engine.release.labels))
        return answers

    with timer.step("total"):
        answers = await state.workers.run(work, request)
    return schemas.Classified(
        request_id=request_id(request),
        answers=answers,
        release=answered_by(choice),
        timings_ms=_rounded(timer),
    )


@v1.get("/model", responses=errors(401, 429, 503), summary="The release that answers")
async def model(request: Request) -> schemas.Model:
    """Says which release answers, all that its release.json says, and what else is loaded."""
    state = state_of(request)
    engine = active_of(state)
    engines = state.releases.engines()
    return schemas.Model(
        release=engine.release,
        active=_loaded(engine),
        canary=_loaded(engines["canary"]) if "canary" in engines else None,
        canary_share=state.settings.canary_share,
        shadow=_loaded(engines["shadow"]) if "shadow" in engines else None,
        skipped={str(v): why for v, why in state.releases.skipped.items()},
        has_report=_report(engine) is not None,
        onnx_variants=[v.name for v in engine.release.variants if v.name in ONNX_FILES],
    )


@v1.get(
    "/model-card",
    response_class=Response,
    responses=file_of("text/html", "text/markdown", codes=(401, 404, 422, 429, 503)),
    summary="The model card",
)
async def model_card(
    request: Request, format: Annotated[Literal["html", "md"], Query()] = "html"
) -> Response:
    """The card of the release that answers, as a page or as Markdown."""
    engine = active_of(state_of(request))
    path = engine.directory / f"model_card.{format}"
    kind = "text/html" if format == "html" else "text/markdown"
    return _document(path, f"{kind}; charset=utf-8")


@v1.get(
    "/report",
    response_class=Response,
    responses=file_of("text/html", codes=(401, 404, 429, 503)),
    summary="The evaluation report",
)
async def report(request: Request) -> Response:
    """The evaluation report of the release that answers: one page that needs no network."""
    path = _report(active_of(state_of(request)))
    if path is None:
        raise ApiError("not_found")
    return _document(path, "text/html; charset=utf-8")


@v1.get("/{view}.html", response_class=Response, include_in_schema=False)
async def report_view(request: Request, view: Literal["tfma", "facets"]) -> Response:
    """A page that the report links to, by the name that it has beside the report."""
    path = active_of(state_of(request)).directory / "report" / f"{view}.html"
    return _document(path, "text/html; charset=utf-8")


@v1.get("/drift", responses=errors(401, 429, 503), summary="Served faces against training images")
async def drift_now(request: Request) -> list[schemas.DriftRow]:
    """How far the faces served lately are from what the model was trained on."""
    state = state_of(request)
    rows = drift.measure(state.metrics.text(), active_of(state).release, state.window.before)
    return [
        schemas.DriftRow(
            statistic=row.statistic,
            n=row.n,
            served=row.served if row.n else None,
            trained=row.trained,
            shift=row.shift,
            unit=row.unit,
            verdict=row.verdict,
        )
        for row in rows
    ]


@v1.get("/limits", responses=errors(401, 429), summary="What one request may hold")
async def limits(request: Request) -> schemas.Limits:
    """The bounds of a request."""
    settings = state_of(request).settings
    return schemas.Limits(
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        max_faces=settings.max_faces,
        max_crops=settings.max_crops,
        request_timeout_s=settings.request_timeout_s,
        formats=KNOWN.split(", "),
        api_key_needed=bool(settings.api_keys),
    )


@operations.get("/healthz", summary="Alive")
async def healthz() -> schemas.Health:
    """The process answers."""
    return schemas.Health(status="ok")


@operations.get("/readyz", responses={503: {"model": schemas.Health}}, summary="Ready")
async def readyz(request: Request, response: Response) -> schemas.Health:
    """A release is loaded."""
    state = state_of(request)
    engine = state.releases.active
    ready = engine is not None
    response.status_code = 200 if ready else 503
    return schemas.Health(
        status="ok" if ready else "not ready",
        version=engine.version if engine else None,
        problem=state.releases.problem,
    )


@operations.get(
    "/metrics",
    response_class=Response,
    responses=file_of("text/plain", codes=()),
    summary="Prometheus",
)
async def metrics(request: Request) -> Response:
    """Counts, times, queues, releases, scores and drift."""
    state = state_of(request)
    state.metrics.releases(state.releases.engines(), len(state.releases.skipped))
    text = state.metrics.text()
    engine = state.releases.active
    if engine is not None:
        text += drift.exposition(drift.measure(text, engine.release, state.window.before))
    return Response(text, media_type=CONTENT_TYPE)


def answered_by(choice: Choice) -> schemas.AnsweredBy:
    """Names the release that answers a request."""
    release = choice.engine.release
    return schemas.AnsweredBy(
        model_name=release.model_name,
        version=release.version,
        variant=choice.engine.variant,
        canary=choice.canary,
        labels=release.labels,
        synthetic=release.synthetic,
    )


def _rounded(timer: analysis.Timer) -> dict[str, float]:
    return {step: round(ms, 2) for step, ms in timer.ms.items()}


def active_of(state: State) -> Engine:
    """Returns the release that answers.

    Raises:
      ApiError: no_model.
    """
    if state.releases.active is None:
        raise ApiError("no_model", retry_after_s=5)
    return state.releases.active


def _loaded(engine: Engine) -> schemas.Loaded:
    loaded = datetime.fromtimestamp(engine.loaded_s, UTC).isoformat(timespec="seconds")
    return schemas.Loaded(version=engine.version, variant=engine.variant, loaded=loaded)


def _report(engine: Engine) -> Path | None:
    path = engine.directory / "report" / "report.html"
    return path if path.is_file() else None


def _document(path: Path, media_type: str) -> Response:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ApiError("not_found") from error
    headers = {"Content-Security-Policy": DOCUMENT_CSP, "X-Frame-Options": "SAMEORIGIN"}
    return Response(content, media_type=media_type, headers=headers)
