"""What can be set, each as an environment variable: GENQ_ and the name in capitals.

In: the environment, or arguments. Out: one frozen Settings. Lists are JSON:
GENQ_CORS_ORIGINS='["https://example.org"]'.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.errors import ConfigError
from data.faces.photos import MAX_PIXELS
from data.faces.settings import DetectorConfig

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of the application; the defaults suit one machine and one page.

    Attributes:
      model_dir: directory of a model's releases, or one above it that holds a single model.
      variant: which ONNX file; "auto" takes int8 where the release has it (it passed the parity
        gate), else float32.
      pin_version: answers come from this release only; None follows CURRENT or the newest.
      canary_version, canary_share: a release that answers this share of the requests.
      shadow_version: a release that sees what the active one sees; its answers are only counted.
      reload_interval_s: how often the directory is looked at.
      concurrency: photos worked on at a time; 0 is the number of cores.
      queue_size: photos that may wait; more are told to come back (503).
      request_timeout_s: for waiting and work together; also for receiving a request's body.
      stop_timeout_s: graceful-shutdown timeout, seconds.
      max_bytes, max_pixels, max_faces, max_crops: limits of one request; pixels are checked before
        decoding.
      min_face_px, min_score, answer_score, detect_max_pixels, retry_rotated: see
        data.faces.settings.
      drift_window_s: of the faces of this time /v1/drift and genq_drift speak.
      upload_ttl_s, upload_max_total_bytes: how long and how much /upload/ keeps, in memory.
      api_keys: when there are any, /v1, /upload/ and /predict ask for one.
      rate_limit: e.g. "60/minute", per key or address; empty is none. Syntax of `limits`.
      rate_limit_storage: URI for `limits`; "memory://" counts in each worker process.
      cors_origins: origins whose pages may call; none by default.
      hsts: tell browsers to insist on HTTPS; set it behind TLS.
      web_dir: the built page; None serves the one in serving/web/out, if it is built.
      workers: processes.
    """

    model_config = SettingsConfigDict(env_prefix="GENQ_", frozen=True, extra="ignore")

    model_dir: Path = Path("runs/demo/serving")
    variant: Literal["auto", "float32", "float16", "int8"] = "auto"
    pin_version: int | None = None
    canary_version: int | None = None
    canary_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    shadow_version: int | None = None
    reload_interval_s: Seconds = 2.0

    concurrency: Annotated[int, Field(ge=0)] = 0
    queue_size: Annotated[int, Field(ge=0)] = 16
    request_timeout_s: Seconds = 30.0
    stop_timeout_s: Seconds = 30.0

    max_bytes: Positive = 20 * 2**20
    max_pixels: Positive = MAX_PIXELS
    max_faces: Positive = 50
    max_crops: Positive = 64

    min_face_px: Annotated[int, Field(ge=12)] = DetectorConfig.min_face_px
    min_score: Annotated[float, Field(ge=0.7, lt=1)] = DetectorConfig.min_score
    answer_score: Annotated[float, Field(ge=0.7, lt=1)] = DetectorConfig.answer_score
    detect_max_pixels: Annotated[int, Field(ge=10_000)] = DetectorConfig.max_pixels
    retry_rotated: bool = DetectorConfig.retry_rotated

    drift_window_s: Seconds = 86_400.0

    upload_ttl_s: Seconds = 300.0
    upload_max_total_bytes: Positive = 256 * 2**20

    api_keys: tuple[SecretStr, ...] = ()
    rate_limit: str = ""
    rate_limit_storage: str = "memory://"
    cors_origins: tuple[str, ...] = ()
    hsts: bool = False

    web_dir: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Positive = 1

    @field_validator("rate_limit")
    @classmethod
    def _rate_limit(cls, value: str) -> str:
        if value:
            from limits import parse

            parse(value)
        return value

    @model_validator(mode="after")
    def _canary(self) -> Settings:
        if self.canary_share and self.canary_version is None:
            raise ValueError("canary_share is set, but no canary_version")
        return self

    @property
    def parallel(self) -> int:
        """Photos worked on at a time in this process."""
        return self.concurrency or max(1, (os.cpu_count() or 1) // self.workers)

    @property
    def detector(self) -> DetectorConfig:
        """How faces are looked for."""
        return DetectorConfig(
            min_face_px=self.min_face_px,
            min_score=self.min_score,
            answer_score=self.answer_score,
            max_pixels=self.detect_max_pixels,
            retry_rotated=self.retry_rotated,
        )


def load(**changes: object) -> Settings:
    """Reads the environment; `changes` win over it.

    Raises:
      ConfigError: names each setting, what it is and what was expected.
    """
    try:
        return Settings(**changes)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        found = "; ".join(
            f"GENQ_{'_'.join(str(part) for part in e['loc']).upper() or 'settings'} is "
            f"{e['input']!r}: {e['msg']}"
            if e["loc"]
            else e["msg"]
            for e in error.errors()
        )
        raise ConfigError(
            f"The settings are wrong: {found}.", "docs: serving/api/settings.py lists them."
        ) from error
