"""The routes of the project that genq replaces, as its clients call them.

`POST /upload/` keeps a photo for a few minutes in memory under a name that nobody can guess;
`POST /predict` and `/predict/crop` take `{"filename": …}`, or a photo itself, and answer with a
list of faces; `/static/{name}` gives uploads and crops back. Names and labels are that project's,
in both spellings of its two clients. Its answer knew no doubt; ours adds `uncertain`.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool

from data import contract
from serving.api import analysis, images, schemas
from serving.api.errors import ApiError
from serving.api.routes import errors, file_of
from serving.api.state import State, state_of
from serving.api.upload import PHOTO_FIELDS, read_files, upload_openapi
from serving.api.workers import Check

LABELS = ("Perempuan", "Laki-laki")
"""What that project called female and male."""
_ERRORS = errors(401, 404, 408, 409, 413, 415, 422, 429, 503, 504)

router = APIRouter(tags=["legacy"])


@router.post("/upload/", responses=_ERRORS, openapi_extra=upload_openapi(PHOTO_FIELDS))
@router.post("/upload", include_in_schema=False)
async def upload(request: Request) -> schemas.LegacyUpload:
    """Keeps a photo for a few minutes, upright and as JPEG; nothing is written to the disk."""
    state = state_of(request)
    state.workers.require_room()
    [data] = await read_files(request, state.settings, PHOTO_FIELDS, 1)

    def work(check: Check) -> bytes:
        pixels = images.decode(data, state.settings.max_pixels).pixels
        return images.jpeg(Image.fromarray(pixels), 95)

    # What /static/ shows has lost its EXIF data: no place, no camera.
    content = await state.workers.run(work, request)
    name = await run_in_threadpool(state.store.put, content, ".jpg")
    return schemas.LegacyUpload(filename=name, url=f"/static/{name}")


_PREDICT_BODY: dict[str, Any] = upload_openapi(PHOTO_FIELDS)
_PREDICT_BODY["requestBody"]["content"]["application/json"] = {
    "schema": {
        "type": "object",
        "properties": {"filename": {"type": "string"}},
        "required": ["filename"],
    }
}


@router.post("/predict", responses=_ERRORS, openapi_extra=_PREDICT_BODY)
@router.post("/predict/", include_in_schema=False)
@router.post("/predict/crop", responses=_ERRORS, openapi_extra=_PREDICT_BODY)
@router.post("/predict/crop/", include_in_schema=False)
async def predict(request: Request) -> list[schemas.LegacyFace]:
    """Every face in an uploaded photo, in reading order."""
    state = state_of(request)
    state.workers.require_room()
    data = await _photo(request, state)
    choice = state.releases.choose()
    release = choice.engine.release
    if release.label_attribute != contract.MALE:
        raise ApiError("other_labels", labels=", ".join(release.labels))
    timer = analysis.Timer()

    def work(check: Check) -> analysis.Analysis:
        return state.analyser.photo(data, choice.engine, check, timer)

    with timer.step("total"):
        found = await state.workers.run(work, request)
    state.count(choice, found.answers, timer)
    taken_s = round(timer.ms["total"] / 1000, 4)

    def keep() -> list[schemas.LegacyFace]:
        return [_face(state, answer, taken_s) for answer in found.answers]

    return await run_in_threadpool(keep)


async def _photo(request: Request, state: State) -> bytes:
    """The photo that a request means: by the name of an upload, or in its body."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    [body] = await read_files(request, state.settings, PHOTO_FIELDS, 1)
    if kind != "application/json":
        return body
    try:
        asked = json.loads(body)
        name = asked["filename"]
        if not isinstance(name, str):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ApiError("invalid_request", problem='expected {"filename": "…"}') from error
    data = await run_in_threadpool(state.store.get, name.rsplit("/", 1)[-1])
    if data is None:
        raise ApiError("not_found")
    return data


def _face(state: State, answer: analysis.FaceAnswer, taken_s: float) -> schemas.LegacyFace:
    name = state.store.put(images.jpeg(Image.fromarray(answer.crop), 90), ".jpg")
    label: Any = LABELS[answer.label]
    confidence = answer.p_positive if answer.label == 1 else 1 - answer.p_positive
    return schemas.LegacyFace(
        name=name,
        label=label,
        confidence=confidence,
        latency=taken_s,
        result=label,
        score=confidence,
        time=taken_s,
        uncertain=answer.uncertain,
        url=f"/static/{name}",
    )


@router.get(
    "/static/{name}",
    response_class=Response,
    responses=file_of("image/jpeg", codes=(401, 404, 429)),
)
async def static(request: Request, name: str) -> Response:
    """An upload or a crop, as long as it is kept."""
    data = await run_in_threadpool(state_of(request).store.get, name)
    if data is None:
        raise ApiError("not_found")
    return Response(data, media_type="image/jpeg")
