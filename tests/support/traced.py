"""What a command connects to, by strace, and what it keeps below a home directory."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def left_in(home: Path) -> list[str]:
    """What onnxruntime keeps for its maker: the id of the device, and what is to be sent."""
    return [
        str(p.relative_to(home))
        for p in home.rglob("*")
        if re.search("onnxruntime|Microsoft|deviceid", str(p.relative_to(home)))
    ]


def strace(trace: Path, lacking: Callable[[str], NoReturn]) -> tuple[str | Path, ...]:
    """Returns what to write before a command, so that its connections are written down."""
    found = shutil.which("strace") or lacking("strace is not installed: apt-get install strace")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return (found, "-f", "--seccomp-bpf", "-qq", "-o", trace, "-e", calls)


def asked(trace: str) -> list[str]:
    """Lines of connections beyond this machine, to a resolver, or to a cache of names.

    The cache knows users as well: where there is none, a look-up of an address asks a resolver.
    """
    return [
        line
        for line in trace.splitlines()
        if ("AF_INET" in line and not re.search(r'"127\.|"::1"', line))
        or "htons(53)" in line
        or ("nscd" in line and "ENOENT" not in line)
        or "resolve" in line
    ]
