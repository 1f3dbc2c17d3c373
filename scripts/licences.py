"""Writes docs/licences.md: what genq is built on, and under which licences.

Python packages are those that requirements.lock names for Python 3.11, their licences what
pip-licenses reads from the installed ones; what is not installed here (a group, another Python)
must be on the page already, in that version. The page's are what serving/web/package-lock.json
says. A package without a known licence, or with one that would bind genq's users, is an error.

Run: .venv/bin/python scripts/licences.py [--check]
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import groups
from generated import publish, table
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
LOCK = ROOT / "requirements.lock"
ASKED = ROOT / "requirements"
PYTHON = {"python_version": "3.11"}
BEGIN = "## Copyleft"
"""What stands before it in the page is written by hand."""
NPM_LOCK = ROOT / "serving" / "web" / "package-lock.json"

FORBIDDEN = ("AGPL", "Affero", "SSPL", "Server Side Public", "Commons Clause", "Commons-Clause")
"""Parts of names of licences that reach whoever offers genq as a service, or forbid selling it."""

COPYLEFT = re.compile(r"GPL|MPL|EPL|CDDL|EUPL|CC-BY-SA")

TERMS = {
    "2-clause BSD License": "BSD-2-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    # The classifier does not say which.
    "BSD License": "BSD",
    "GNU General Public License (GPL)": "GPL",
    "GPL-3.0": "GPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Public Domain": "public domain",
    # Says that Debian would take it, not which it is.
    "DFSG approved": "",
}
"""What metadata say -> the name in SPDX's list, where they differ."""

KNOWN = frozenset(
    (
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC0-1.0",
        "CNRI-Python",
        "GPL",
        "GPL-3.0-only",
        "ISC",
        "LGPL-3.0-or-later",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Zlib",
        "public domain",
    )
)
"""Licences that somebody has looked at; another one asks for a look, and a word here."""

BY_HAND = {"namex": "Apache-2.0"}
"""Packages whose metadata name none; read from the LICENSE file that they bring."""

GPU_ONLY = re.compile(r"nvidia-.*|tensorflow$")
"""Of the group `gpu`, which few machines have installed: the page has a sentence about them."""

_GCC = "GPL-3.0 with the GCC runtime exception"
BUNDLED = {
    "av": "FFmpeg with x264 and x265 (GPL-2.0), LAME (LGPL-2.0), GMP, Nettle, libunistring "
    "(LGPL-3.0)",
    "lxml": "iconv (LGPL-2.1)",
    "numpy": f"libgfortran ({_GCC}), libquadmath (LGPL-2.1)",
    "opencv-python-headless": f"FFmpeg and libquadmath (LGPL-2.1), libgfortran ({_GCC})",
    "pillow-heif": "libheif and libde265 (LGPL-3.0), x265 (GPL-2.0); its authors give the wheel as "
    "GPL-2.0",
    "pyzmq": "libzmq (MPL-2.0)",
    "scikit-learn": f"libgomp ({_GCC})",
    "scipy": f"libgfortran ({_GCC}), libquadmath (LGPL-2.1)",
}
"""Copyleft libraries inside wheels whose metadata name the wrapper's licence only."""


@dataclass(frozen=True)
class Package:
    """One package of a lock file."""

    name: str
    version: str
    licence: str


def normalised(found: str) -> str:
    """Returns a licence under the names of SPDX; several separated by a comma."""
    parts = (TERMS.get(part, part) for part in (p.strip() for p in found.split(";")))
    return ", ".join(sorted(filter(None, parts)))


def faults(packages: Iterable[Package]) -> list[str]:
    """Returns one line for each package whose licence is unknown or forbidden."""
    found = []
    for package in packages:
        words = re.split(r" AND | OR |, |[()]", package.licence)
        unknown = sorted({w.strip() for w in words if w.strip()} - KNOWN)
        label = f"{package.name} {package.version}: "
        if any(word.lower() in package.licence.lower() for word in FORBIDDEN):
            found.append(f"{label}{package.licence} is forbidden here")
        elif not package.licence or unknown:
            found.append(f"{label}unknown licence {', '.join(unknown) or '(none)'}")
    return found


def python_packages() -> dict[str, Package]:
    """Returns normalised name -> package, for all that requirements.lock names for Python 3.11.

    Raises:
      SystemExit: if one is neither installed in that version nor on the page.
    """
    # --with-system: setuptools and wheel are in the lock, too.
    command = ("--format=json", "--from=mixed", "--with-system")
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", *command], capture_output=True, text=True, check=True
    ).stdout
    installed = {canonicalize_name(p["Name"]): p for p in json.loads(listed)}
    before = listed_before(PAGE.read_text())
    packages, missing = {}, []
    for name, version, marker in re.findall(
        r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\$", LOCK.read_text(), re.M
    ):
        if GPU_ONLY.match(name) or (marker and not Marker(marker).evaluate(PYTHON)):
            continue
        key = canonicalize_name(name)
        found = installed.get(key)
        if found is not None and found["Version"] == version:
            said = "" if found["License"] == "UNKNOWN" else found["License"]
            licence = normalised(said) or BY_HAND.get(key, "")
        elif (name, version) in before:
            licence = before[name, version]
        else:
            missing.append(f"{name}=={version}")
            continue
        packages[key] = Package(name, version, licence)
    if missing:
        sys.exit(f"Not installed as requirements.lock says: {', '.join(missing)}. Run: make setup")
    return packages


def listed_before(page: str) -> dict[tuple[str, str], str]:
    """Returns (name, version) -> licence, as the page's tables say."""
    found = {}
    for row in re.findall(r"^\| (.+) \|$", page, re.M):
        cells = row.split(" | ")
        if len(cells) == 4:
            found[cells[0], cells[1]] = cells[2]
        elif len(cells) == 3 and cells[1].isdigit():
            for package in cells[2].split(", "):
                name, _, version = package.partition(" ")
                found[name, version] = cells[0]
    return {key: licence for key, licence in found.items() if "; inside the wheel" not in licence}


def npm_packages() -> dict[str, Package]:
    """Returns the page's production packages, by their folder below node_modules/."""
    return {
        path.removeprefix("node_modules/"): Package(
            path.rpartition("node_modules/")[2], entry["version"], entry.get("license", "")
        )
        for path, entry in json.loads(NPM_LOCK.read_text())["packages"].items()
        if path and not entry.get("dev")
    }


def asked() -> set[str]:
    """Returns the normalised names that requirements/*.in ask for."""
    files = sorted(ASKED.glob("*.in"))
    lines = (
        line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines()
    )
    return {canonicalize_name(Requirement(line).name) for line in lines if line}


def grouped(packages: Iterable[Package]) -> str:
    """Returns a table: a licence, and the packages that have it."""
    groups: dict[str, list[str]] = defaultdict(list)
    for package in packages:
        groups[package.licence].append(f"{package.name} {package.version}")
    rows = [
        (licence, str(len(names)), ", ".join(sorted(names)))
        for licence, names in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))
    ]
    return table(("licence", "packages", "which"), rows)


def page(python: dict[str, Package], npm: dict[str, Package]) -> str:
    """Returns the page."""
    declared = asked()
    serving, pipeline = (
        {canonicalize_name(name) for name, _, _ in groups.parse("\n".join(pins))}
        for pins in (
            groups.select(LOCK.read_text(), ("serving",)),
            groups.select(LOCK.read_text(), ("run", "cpu", "serving", "kubeflow")),
        )
    )

    def where(key: str) -> str:
        if key in serving:
            return "pipeline, app"
        return "pipeline" if key in pipeline else "none"

    copyleft = [
        (p.name, p.version, p.licence, where(key))
        for key, p in sorted(python.items())
        if COPYLEFT.search(p.licence)
    ]
    copyleft += [
        (p.name, p.version, f"{p.licence}; inside the wheel: {BUNDLED[key]}", where(key))
        for key, p in sorted(python.items())
        if key in BUNDLED
    ]
    # The only ones so far are sharp's, one a platform; that they stay behind is by hand, so another
    # package is an error below.
    sharp = [p for p in npm.values() if COPYLEFT.search(p.licence)]
    if strange := [p.name for p in sharp if not p.name.startswith("@img/sharp-")]:
        sys.exit(f"Copyleft in the page: {strange}. Say in scripts/licences.py where it travels.")
    copyleft.append(
        (
            "@img/sharp-… (npm)",
            ", ".join(sorted({p.version for p in sharp})),
            "; ".join(sorted({p.licence for p in sharp})),
            "none: a tool of the build",
        )
    )
    direct = json.loads(NPM_LOCK.read_text())["packages"][""]["dependencies"]
    parts = [
        PAGE.read_text().partition(BEGIN)[0].rstrip(),
        BEGIN,
        "Used as they are: genq changes none, and hands on what their authors published. Whoever "
        "hands on an image hands on these, with their duties (text of the licence, source).",
        table(("package", "version", "licence", "image"), copyleft),
        "## What genq asks for",
        "By name, in `requirements/*.in`.",
        table(
            ("package", "version", "licence", "image"),
            [
                (p.name, p.version, p.licence, where(key))
                for key, p in sorted(python.items())
                if key in declared
            ],
        ),
        "## What these bring",
        grouped(p for key, p in python.items() if key not in declared),
        "## The page",
        "What `serving/web/package.json` asks for:",
        table(
            ("package", "version", "licence"),
            [(p.name, p.version, p.licence) for n, p in sorted(npm.items()) if n in direct],
        ),
        "What these bring, on any platform:",
        grouped(p for n, p in npm.items() if n not in direct),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Rewrites the page, or says that it is out of date; fails on a licence that will not do."""
    python, npm = python_packages(), npm_packages()
    if found := faults([*python.values(), *npm.values()]):
        sys.exit("Licences that will not do:\n  " + "\n  ".join(found))
    publish(PAGE, page(python, npm))


if __name__ == "__main__":
    main()
