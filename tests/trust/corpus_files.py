"""Calls in files: one a line, as Python writes a name and what differs from the right arguments (wrong_values.py)."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

from wrong_values import Call

CORPUS = Path(__file__).parent / "corpus"


def read(path: Path) -> list[Call]:
    return [ast.literal_eval(line) for line in path.read_text().splitlines()]


def write_found(call: Call) -> Path:
    """A file of its own, to be named after the fault when that is mended."""
    path = CORPUS / f"found_{call[0]}_{hashlib.sha256(repr(call).encode()).hexdigest()[:8]}.txt"
    path.write_text(f"{call!r}\n")
    return path


def append(call: Call) -> None:
    with (CORPUS / f"{call[0]}.txt").open("a") as file:
        file.write(f"{call!r}\n")
