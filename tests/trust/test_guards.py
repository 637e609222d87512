"""The entries of guards/*.toml still say where in the source a guard stands, and name tests that are there."""

from __future__ import annotations

import re

import break_guards
import pytest

GUARDS = break_guards.read_guards(break_guards.GUARDS, break_guards.ROOT)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_test_is_there(guard: break_guards.Guard) -> None:
    for test in guard.tests:
        file, *names = re.sub(r"\[.*", "", test).split("::")
        text = (break_guards.ROOT / file).read_text()
        assert all(re.search(rf"^\s*(def|class) {name}\b", text, re.MULTILINE) for name in names)


def test_names_are_told_apart() -> None:
    names = [guard.name for guard in GUARDS]
    assert len(set(names)) == len(names)


def test_the_table_names_every_guard() -> None:
    """docs/trust.md says of each guard that its test failed without it: of those that there are, and of no others."""
    page = break_guards.TRUST.read_text()
    rows = page.split(break_guards.BEGIN)[1].split(break_guards.END)[0].strip().split("\n")[2:]
    assert sorted(row.split(" | ")[0].removeprefix("| ") for row in rows) == sorted(guard.name for guard in GUARDS)
    assert not [row for row in rows if "DOES NOT FAIL" in row]
