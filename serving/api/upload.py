"""The bytes of a request: multipart or plain, in memory only, within a time.

In: a Request. Out: files' bytes. Starlette's parser writes parts over 1 MiB to a temporary file;
that would put photos on the disk, so its limit is raised above the largest body that we accept.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serving.api.errors import ApiError
from serving.api.security import body_limit, mib
from serving.api.settings import Settings

PHOTO_FIELDS: Final = ("file", "image", "photo")
CROP_FIELDS: Final = ("files", "file", "crops")


def keep_in_memory(settings: Settings) -> None:
    """Makes Starlette keep every part of a body that we accept in memory; once, at the start."""
    MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, body_limit(settings) + 1)


async def read_files(
    request: Request, settings: Settings, fields: tuple[str, ...], limit: int
) -> list[bytes]:
    """Returns the files of a multipart body, or a plain body as the only file.

    Args:
      request: its body has not been read.
      settings: for time and size.
      fields: names of form fields that are taken, in any order.
      limit: files that are accepted.

    Raises:
      ApiError: invalid_request, too_many_bytes, too_many_crops, upload_timeout or client_gone.
    """
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            files = await _read(request, fields, limit)
    except TimeoutError as error:
        raise ApiError("upload_timeout", limit_s=settings.request_timeout_s) from error
    except ClientDisconnect as error:
        raise ApiError("client_gone") from error
    except HTTPException as error:
        if error.status_code == 413:
            raise ApiError("too_many_bytes", limit_mib=mib(settings.max_bytes)) from error
        raise ApiError("invalid_request", problem=str(error.detail)) from error
    if any(len(data) > settings.max_bytes for data in files):
        raise ApiError("too_many_bytes", limit_mib=mib(settings.max_bytes))
    return files


async def _read(request: Request, fields: tuple[str, ...], limit: int) -> list[bytes]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        body = await request.body()
        if not body:
            raise ApiError(
                "invalid_request",
                problem=f"there is no body; send the photo as the form field {fields[0]!r}",
            )
        return [body]
    files = []
    async with request.form(max_files=limit + 1, max_fields=16) as form:
        for name, value in form.multi_items():
            if name in fields and isinstance(value, UploadFile):
                files.append(await value.read())
    if not files:
        raise ApiError(
            "invalid_request", problem=f"there is no file in the form field {fields[0]!r}"
        )
    if len(files) > limit:
        if limit == 1:
            raise ApiError("invalid_request", problem=f"{len(files)} files were sent; expected one")
        raise ApiError("too_many_crops", found=len(files), limit=limit)
    return files


def upload_openapi(fields: tuple[str, ...], *, several: bool = False) -> dict[str, Any]:
    """Returns what OpenAPI says of such a request's body."""
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    schema: dict[str, Any] = {"type": "array", "items": file, "minItems": 1} if several else file
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {fields[0]: schema},
                        "required": [fields[0]],
                    }
                },
            },
        }
    }
