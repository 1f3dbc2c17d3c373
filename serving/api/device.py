"""What the page needs to answer "on this device": model, detector, and the detector's numbers.

Out: the same networks and the same settings by which this server answers, so that a photo gets the
same answer in both places.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from serving.api import schemas
from serving.api.errors import ApiError
from serving.api.routes import active_of, errors, file_of
from serving.api.state import state_of

router = APIRouter(prefix="/v1", tags=["v1"])


@router.get(
    "/model/onnx/{variant}",
    response_class=Response,
    responses=file_of("application/octet-stream", codes=(401, 404, 422, 429, 503)),
    summary="The model's file",
)
async def onnx_file(
    request: Request, variant: Literal["float32", "float16", "int8"]
) -> FileResponse:
    """The ONNX file of the release that answers; for the page's mode "on this device"."""
    engine = active_of(state_of(request))
    found = [v for v in engine.release.variants if v.name == variant]
    if not found:
        raise ApiError("not_found")
    path = engine.directory / found[0].file
    return FileResponse(
        path, media_type="application/octet-stream", headers=_tagged(found[0].sha256)
    )


@router.get("/detector", responses=errors(401, 429), summary="The face detector's settings")
async def detector(request: Request) -> schemas.Detector:
    """Every number that detector and aligner go by here, and the files of the three networks."""
    state = state_of(request)
    files = {
        name: schemas.NetworkFile(
            path=f"/v1/detector/{name}",
            bytes=len(graph),
            sha256=hashlib.sha256(graph).hexdigest(),
        )
        for name, graph in state.graphs.items()
    }
    return schemas.Detector(networks=files, settings=state.settings.detector)


@router.get(
    "/detector/{network}",
    response_class=Response,
    responses=file_of("application/octet-stream", codes=(401, 422, 429)),
    summary="The face detector's files",
)
async def detector_file(request: Request, network: Literal["pnet", "rnet", "onet"]) -> Response:
    """One of MTCNN's three networks as ONNX; for the page's mode "on this device"."""
    content = state_of(request).graphs[network]
    headers = _tagged(hashlib.sha256(content).hexdigest())
    return Response(content, media_type="application/octet-stream", headers=headers)


def _tagged(sha256: str) -> dict[str, str]:
    return {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}
