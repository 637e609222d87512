"""What the README files show of the command is what happens; their examples are in test_docs.py."""

from cli_tools import DIGITS, ROOT, run


def test_main_job():
    _, out, _ = run("evaluate", *DIGITS)
    for readme in (ROOT / "README.md", ROOT / "examples" / "digits" / "README.md"):
        assert f"```text\n{out}```\n" in readme.read_text()
