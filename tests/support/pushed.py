"""Small releases, published by the real pusher, for tests that ask what becomes of them."""

from collections.abc import Mapping
from pathlib import Path

from components.release_pusher.publish import publish
from data.releases import release


def describe(version: int, parent: int | None, sums: Mapping[str, str]) -> release.Release:
    return release.Release(
        model_name="gender",
        version=version,
        created="2026-11-24T00:00:00+00:00",
        parent=parent,
        variants=(
            release.Variant(name="float32", file="model.onnx", bytes=1, sha256=sums["model.onnx"]),
        ),
        licence="l",
        notice="n",
    )


def files(root: Path, content: str) -> dict[str, Path]:
    """Sources with a nested folder; `content` tells releases apart."""
    root.mkdir(exist_ok=True)
    for name in ("model.onnx", "weights"):
        (root / name).write_text(f"{name} {content}" * 100)
    return {"model.onnx": root / "model.onnx", "variables/data": root / "weights"}


def push(tmp_path: Path, content: str, now_s: float = 1000.0, **arguments: object) -> Path:
    return publish(
        tmp_path / "gender",
        files(tmp_path / f"src-{content}", content),
        describe,
        now_s=lambda: now_s,
        **arguments,
    )


def state(model_dir: Path) -> dict[str, bytes]:
    """Every visible file of every release."""
    return {
        str(p.relative_to(model_dir)): p.read_bytes()
        for version in release.versions(model_dir)
        for p in (model_dir / str(version)).rglob("*")
        if p.is_file()
    }
