"""A fingerprint of a node's source code, for its execution properties.

TFX's cache key holds a node's inputs and properties, but with module paths (design.md §3.4) not its
code. A node that carries the digest of its modules runs again when they change.
"""

import hashlib
import importlib.util
from pathlib import Path

SUFFIXES = frozenset({".py", ".j2", ".css", ".js", ".pbtxt"})
"""Modules, templates and schemas. No tables: a data set may lie below `data/`."""


def code_digest(*modules: str) -> str:
    """Returns a hex digest over modules and packages (recursively, with their templates).

    Args:
      *modules: import names, e.g. "components.trainer". They are not imported.

    Raises:
      ModuleNotFoundError: if a module has no source file.
    """
    digest = hashlib.sha256()
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{module}: no source file", name=module)
        origin = Path(spec.origin)
        files = [origin]
        if spec.submodule_search_locations:
            below = origin.parent.rglob("*")
            files = sorted(f for f in below if f.suffix in SUFFIXES and f.is_file())
        for file in files:
            # The name relative to the package, so that the digest is the same in every checkout.
            digest.update(f"{module}/{file.relative_to(origin.parent)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
