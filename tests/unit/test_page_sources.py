"""The page's sources: what can be said of them without a browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

WEB = Path(__file__).parents[2] / "serving" / "web"
SOURCES = WEB / "src"
_IMPORT = re.compile(r'^(?:import|export) [^;]*?from "((?:@|\.)[^"]+)";', re.M | re.S)


def imports() -> dict[str, set[str]]:
    """Module -> modules of the page that it imports, types too; names are paths below src."""
    modules = [p for p in SOURCES.rglob("*.ts*") if p.suffix in (".ts", ".tsx")]
    names = {p.relative_to(SOURCES).with_suffix("").as_posix(): p for p in modules}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = set()
        for target in _IMPORT.findall(path.read_text()):
            if target.startswith("@/"):
                found.add(target.removeprefix("@/"))
            else:
                found.add((path.parent / target).resolve().relative_to(SOURCES).as_posix())
        graph[name] = found & set(names)
    return graph


def test_no_modules_of_the_page_import_each_other() -> None:
    """Each module can be read after those that it imports: there is no cycle."""
    graph = imports()
    assert graph["app/page"] == {"components/try"}
    while graph:
        free = {name for name, needs in graph.items() if not needs & set(graph)}
        assert free, f"these import each other: {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in free}


@pytest.fixture(scope="module")
def page_module(
    lacking: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Any]:
    """Returns what runs an expression with a module of the page, as `m`, in Node.js."""
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    if shutil.which("node") is None or not compiler.is_file():
        lacking("the page's packages are not there: make web.")
    folder = tmp_path_factory.mktemp("page")
    (folder / "package.json").write_text('{"type": "commonjs"}')

    def run(module: str, expression: str) -> Any:
        source = SOURCES / f"{module}.ts"
        flags = ["--module", "commonjs", "--target", "es2023", "--skipLibCheck", "--noCheck"]
        subprocess.run(
            ["node", str(compiler), *flags, "--outDir", str(folder), str(source)],
            check=True,
            timeout=300,
        )
        built = next(folder.rglob(f"{source.stem}.js"))
        script = f"const m = require({json.dumps(str(built))});"
        script += f"process.stdout.write(JSON.stringify({expression}));"
        done = subprocess.run(
            ["node", "-e", script], check=True, timeout=300, capture_output=True, text=True
        )
        return json.loads(done.stdout)

    return run


def test_faces_are_numbered_as_they_are_read(page_module: Callable[[str, str], Any]) -> None:
    """Rows from top to bottom, each from left to right, though heads differ in size and height."""
    places = {"a": (10, 30, 40), "b": (100, 10, 80), "c": (200, 25, 40), "d": (5, 120, 50)}
    places |= {"e": (90, 135, 90), "f": (210, 128, 30)}
    faces = [
        {"name": n, "box": {"x1": x, "y1": y, "x2": x + side, "y2": y + side}}
        for n, (x, y, side) in sorted(places.items(), key=lambda item: item[1])
    ]
    expression = f"m.inReadingOrder({json.dumps(faces)}).map((f) => f.name).join('')"
    assert page_module("lib/answers", expression) == "abcdef"
