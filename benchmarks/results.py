"""The JSON files of run.py, read back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

FORMAT = 2
Key = tuple[str, str, str]  # case, answer, contender


def _refuse(path: Path, reason: str) -> NoReturn:
    print(f"{path}: {reason}", file=sys.stderr)
    raise SystemExit(2)  # 1 is what a command has found


def load(path: Path) -> dict:
    """One run; a file that is none ends the command in one line."""
    try:
        run = json.loads(path.read_text())
    except OSError as error:
        _refuse(path, error.strerror or str(error))
    except ValueError as error:
        _refuse(path, f"is no JSON: {error}")
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        got = run.get("format") if isinstance(run, dict) else type(run).__name__
        _refuse(
            path, f"is of format {got}, expected {FORMAT}: made by another version of run.py, or by another program"
        )
    return run


def key(row: dict) -> Key:
    return row["case"], row["answer"], row["contender"]


def cells(run: dict) -> dict[Key, dict]:
    """What was timed, without errors."""
    return {key(row): row for row in run["results"] if "error" not in row}
