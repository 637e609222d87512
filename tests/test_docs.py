"""What the pages show is what happens, what they name exists, and what they link to is there."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import warnings
from pathlib import Path

import pytest

import xentc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def sections_of(page: Path) -> list[tuple[str, str]]:
    """Title and text of what stands under each heading of the second level."""
    parts = re.split(r"^## (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


# A section is one session: it imports what it uses.
SECTIONS = {f"{page.name}: {title}": text for page in PAGES for title, text in sections_of(page) if "\n>>> " in text}


@pytest.mark.parametrize("name", SECTIONS)
def test_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that needs more than the tests do says so: <!-- needs: package, package -->."""
    text = SECTIONS[name]
    needed = re.search("<!-- needs: (.*) -->", text)
    packages = needed[1].split(", ") if needed else []
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    # The fence that ends a block would be taken for the last line of what the example prints.
    examples = doctest.DocTestParser().get_doctest(re.sub("^```.*$", "", text, flags=re.M), {}, name, name, 0)
    assert examples.examples
    monkeypatch.chdir(ROOT)
    with warnings.catch_warnings():
        if packages:  # what others warn of is theirs
            warnings.simplefilter("ignore")
        assert doctest.DocTestRunner().run(examples).failed == 0


def test_every_page_is_looked_at() -> None:
    assert {"README.md: From Python", "losses.md: cross_entropy", "evaluation.md: Files in shards"} <= set(SECTIONS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_public_names() -> None:
    """README's table of functions has them all, and no other."""
    (table,) = (text for title, text in sections_of(ROOT / "README.md") if title == "All of it")
    named = set(re.findall(r"`([A-Za-z_]+)`", "".join(row.split("|")[1] for row in re.findall(r"^\|.*$", table, re.M))))
    assert named == set(xentc.__all__) - {"__version__"}


def test_named_tests() -> None:
    """The page of promises names tests; a name that is not there shows nothing."""
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:trust/)?test_\w+)(?:\.py)?(?:::(\w+))?`", text)
    assert len(names) > 40
    for file, name in names:
        tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assigned = (target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets)
        defined |= {target.id for target in assigned if isinstance(target, ast.Name)}
        assert not name or name in defined, f"{file}::{name}"


def test_named_commands() -> None:
    """Each script that the page of promises runs is there."""
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    scripts = re.findall(r"`(?:python|bash) ([\w./]+)", text)
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file(), script
