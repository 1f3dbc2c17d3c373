"""How an annotation file that is not as the authors wrote it is to be read.

In: its bytes. Out: its lines as fields, which column is which, and one short phrase for each thing
that was assumed. People have CelebA's files with and without the count line, from Excel, from
pandas, with other separators and encodings. What can be read in one way only is read that way.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from data.errors import AnnotationError

ID_NAMES: Final = frozenset(
    {
        *("imageid", "image", "imagename", "imagepath", "img", "imgid", "imgname", "photo"),
        *("filename", "file", "fileid", "filepath", "path", "name", "id"),
    }
)
INDEX_NAMES: Final = frozenset({"", "unnamed0", "index", "idx", "row", "no", "nr"})
ALIASES: Final = {
    "partition": ("partition", "split", "set", "subset", "evaluationstatus", "fold"),
    "identity": ("identity", "celebid", "person", "personid", "celebrity", "subject", "subjectid"),
}
"""What the column of a partition or an identity is called elsewhere; as `plain` returns it."""
_IMAGE_NAME: Final = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|heic)$", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?\d+([.,]\d+)?")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_SAMPLE_LINES: Final = 50


@dataclass(frozen=True)
class Dialect:
    """Where in a file what stands.

    Attributes:
      separator: of fields; " " is any white space.
      first_row: number of the first line of data, from 1.
      count: number of rows that the first line promises; None without such a line.
      width: fields of a row.
      id_column: which field names the image.
      columns: name -> field, of the columns that are expected and there.
      extra: name -> field, of other columns.
      absent: expected columns that are not there.
      notes: what was assumed, each a short phrase.
    """

    separator: str
    first_row: int
    count: int | None
    width: int
    id_column: int
    columns: dict[str, int]
    extra: dict[str, int]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def plain(name: str) -> str:
    """Returns a name without case, blanks and punctuation: "5_o_Clock" -> "5oclock"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def decode(file: str, content: bytes) -> tuple[list[str], list[str]]:
    """Returns the lines of a file, whatever ends them, and what was assumed.

    Raises:
      AnnotationError: if it is empty, an HTML page, or no text.
    """
    notes = []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif len(content) > 3 and content[1:4:2] == b"\0\0":
        encoding = "utf-16-le"
    elif len(content) > 3 and content[0:3:2] == b"\0\0":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    if encoding != "utf-8-sig":
        notes.append("the text is UTF-16")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        kind = next((k for magic, k in _BINARY.items() if content.startswith(magic)), None)
        if kind is not None:
            raise AnnotationError(
                f"{file}: this is {kind}, not text.",
                "Save it as CSV (in UTF-8), or fetch the annotation file itself.",
            ) from error
        text = content.decode("latin-1")
        notes.append("the text is not UTF-8 and was taken for Latin-1")
    if not text.strip():
        raise AnnotationError(f"{file}:1: the file is empty.", "Fetch it again.")
    if text.lstrip()[:1] == "<":
        raise AnnotationError(
            f"{file}:1: this is an HTML page, not an annotation file.",
            "Google Drive serves such a page when its quota is used up; fetch the file again.",
        )
    if text.startswith("version https://git-lfs"):
        raise AnnotationError(
            f"{file}:1: this is a pointer of Git LFS, not the file.",
            "Get the file: `git lfs pull`.",
        )
    return _LINE_END.split(text), notes


_BINARY: Final = {
    b"PK\x03\x04": "a zip or an Excel workbook",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}


def split(line: str, separator: str) -> list[str]:
    """Returns the fields of a line, without blanks and quotes around them."""
    if separator == " " and '"' not in line:
        return line.split()
    [fields] = csv.reader([line], delimiter=separator, skipinitialspace=True)
    stripped = [field.strip() for field in fields]
    return [f for f in stripped if f] if separator == " " else stripped


def rows(lines: Sequence[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, fields) of each row that is not blank."""
    for number in range(dialect.first_row - 1, len(lines)):
        line = lines[number]
        if line and not line.isspace():
            fields = split(line, dialect.separator)
            if any(fields):
                yield number + 1, fields


def find_dialect(
    file: str, lines: Sequence[str], expected: Sequence[str], *, optional: bool
) -> Dialect:
    """Finds out how a file is written.

    Args:
      file: its path, for messages.
      lines: of `decode`.
      expected: names of the columns after the file name.
      optional: whether a column may be absent: then the data say nothing of it.

    Raises:
      AnnotationError: if it can be read in no way, or in more than one.
    """
    filled = [(n, line) for n, line in enumerate(lines, start=1) if line and not line.isspace()]
    notes: list[str] = []
    separator = _separator([line for _, line in filled[:_SAMPLE_LINES]])
    table = [(n, split(line, separator)) for n, line in filled[: _SAMPLE_LINES + 2]]
    count = None
    head = [f for f in table[0][1] if f]
    if len(head) == 1 and len(table) > 1 and len([f for f in table[1][1] if f]) > 1:
        if not head[0].isdigit():
            raise AnnotationError(
                f"{file}:{table[0][0]}: found {head[0][:40]!r}; expected the number of rows, or "
                "the names of the columns.",
                "Remove the line, or write the number of rows there.",
            )
        count = int(head[0])
        table.pop(0)
    header = None
    if _is_header(table[0][1], expected):
        header = table.pop(0)
        if not table:
            raise AnnotationError(
                f"{file}:{header[0]}: the file ends after the names of the columns.",
                "Fetch it again.",
            )
    width = Counter(len(fields) for _, fields in table).most_common(1)[0][0]
    if width < 2:
        raise AnnotationError(
            f"{file}:{table[0][0]}: found one field, {table[0][1][0][:60]!r}; expected a file name "
            f"and {'one or more' if optional else len(expected)} values.",
            "Separate the fields by spaces, commas, semicolons or tabs.",
        )
    sample = [fields for _, fields in table if len(fields) == width]
    names, id_column = _name_columns(file, header, sample, width, expected, notes)
    columns, extra, absent = _assign(
        file, header, names, id_column, expected, sample, optional, notes
    )
    if separator in ";\t":
        notes.append("fields are separated by " + {";": "semicolons", "\t": "tabs"}[separator])
    return Dialect(
        separator, table[0][0], count, width, id_column, columns, extra, absent, tuple(notes)
    )


def _separator(lines: Sequence[str]) -> str:
    """Returns what separates the fields: that which occurs in most lines, equally often."""
    body = lines[1:] if len(lines) > 1 else lines
    for separator in "\t;,":
        if sum(separator in line for line in body) > len(body) / 2:
            return separator
    return " "


def _is_header(fields: Sequence[str], expected: Sequence[str]) -> bool:
    """Returns whether a line names columns: no file name, no numbers, or a name that is known."""
    if any(_IMAGE_NAME.search(field) for field in fields):
        return False
    known = {plain(name) for name in expected} | {a for n in expected for a in ALIASES.get(n, ())}
    if any(plain(field) in known for field in fields):
        return True
    return not any(_NUMBER.fullmatch(field) for field in fields[1:])


def _name_columns(
    file: str,
    header: tuple[int, list[str]] | None,
    sample: Sequence[Sequence[str]],
    width: int,
    expected: Sequence[str],
    notes: list[str],
) -> tuple[list[str], int]:
    """Returns the name of each field, "" where there is none, and which field names the image."""
    images = [c for c in range(width) if all(_IMAGE_NAME.search(row[c]) for row in sample)]
    if header is None:
        id_column = images[0] if images else 0
        values = width - 1 - id_column
        if values != len(expected):
            raise AnnotationError(
                f"{file}:1: there is no line with the names of the columns, and {values} "
                f"values follow the file name; expected {len(expected)}.",
                f"Write the names into the first line: image_id {' '.join(expected)}.",
            )
        if len(expected) > 1:
            notes.append("no line names the columns: they are taken in CelebA's order")
        return ["", *[""] * id_column, *expected][: width + 1][-width:], id_column
    line, names = header
    if len(names) == width - 1:
        names = ["", *names]
    if len(names) == width + 1 and not names[-1]:
        names = names[:-1]
    if len(names) != width:
        raise AnnotationError(
            f"{file}:{line}: the line names {len(names)} columns, and the rows below have {width} "
            "fields.",
            "Give every column a name, in the order of the fields.",
        )
    called = [c for c, name in enumerate(names) if plain(name) in ID_NAMES]
    if images:
        id_column = next((c for c in images if c in called), images[0])
    elif called:
        id_column = called[0]
    elif plain(names[0]) in INDEX_NAMES:
        id_column = 0
    else:
        raise AnnotationError(
            f"{file}:{line}: no column names the image; found {', '.join(names[:8])}"
            f"{', …' if len(names) > 8 else ''}.",
            "Call the column with the file names image_id.",
        )
    return list(names), id_column


def _assign(
    file: str,
    header: tuple[int, list[str]] | None,
    names: Sequence[str],
    id_column: int,
    expected: Sequence[str],
    sample: Sequence[Sequence[str]],
    optional: bool,
    notes: list[str],
) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Returns expected columns and others, each with its field, and those that are absent."""
    if header is None:
        return {name: id_column + 1 + i for i, name in enumerate(expected)}, {}, ()
    wanted = {plain(name): name for name in expected}
    if len(expected) == 1:
        wanted |= dict.fromkeys(ALIASES.get(expected[0], ()), expected[0])
    columns: dict[str, int] = {}
    extra: dict[str, int] = {}
    for field, name in enumerate(names):
        known = wanted.get(plain(name))
        if field == id_column:
            continue
        if known in columns:
            raise AnnotationError(
                f"{file}:{header[0]}: column {known!r} is there more than once.",
                "Remove one of them.",
            )
        if known is not None:
            columns[known] = field
        elif plain(name) in INDEX_NAMES and field < id_column:
            notes.append("the first column counts the rows and is ignored")
        else:
            extra[name or f"column {field + 1}"] = field
    if len(expected) == 1 and not columns and len(extra) == 1:
        [(name, field)] = extra.items()
        notes.append(f"column {name!r} is taken for the {expected[0]}")
        return {expected[0]: field}, {}, ()
    absent = tuple(name for name in expected if name not in columns)
    if absent:
        _refuse_absent(file, header[0], absent, extra, expected, sample, optional)
        notes.append(
            f"{len(absent)} of {len(expected)} columns are not there: the data say nothing of them"
        )
    elif list(columns) != list(expected) or list(columns.values()) != sorted(columns.values()):
        notes.append("the columns are in another order than CelebA's, and are taken by name")
    return columns, extra, absent


def _refuse_absent(
    file: str,
    line: int,
    absent: Sequence[str],
    extra: dict[str, int],
    expected: Sequence[str],
    sample: Sequence[Sequence[str]],
    optional: bool,
) -> None:
    """Raises AnnotationError where an absent column may be one that has another name here."""
    binary = [
        name
        for name, field in extra.items()
        if {row[field].lower() for row in sample}
        <= {"-1", "0", "1", "-1.0", "0.0", "1.0", "true", "false"}
    ]
    for name in extra:
        if near := difflib.get_close_matches(name, absent, n=1, cutoff=0.75):
            raise AnnotationError(
                f"{file}:{line}: unknown column {name!r}, and column {near[0]!r} is missing.",
                f"Call it {near[0]!r}, or remove the column {name!r}.",
            )
    if len(absent) == len(expected):
        raise AnnotationError(
            f"{file}:{line}: no column is one of the {len(expected)} expected; found "
            f"{', '.join(list(extra)[:6]) or 'none'}.",
            f"Expected names are {', '.join(expected)}.",
        )
    if not optional or (binary and len(absent) <= len(binary)):
        unknown = f"unknown column {next(iter(binary or extra))!r}, and " if extra else ""
        raise AnnotationError(
            f"{file}:{line}: {unknown}column {absent[0]!r} is missing; found "
            f"{len(expected) - len(absent)} of the {len(expected)} columns.",
            f"Restore the header; the names are {', '.join(expected)}.",
        )
