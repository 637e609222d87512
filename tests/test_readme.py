"""What the README files show is what happens."""

import doctest
import re

from cli_tools import DIGITS, ROOT, run


def test_examples():
    text = (ROOT / "README.md").read_text()
    # The fence that ends a block would be taken for the last line of what the example prints.
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    result = doctest.DocTestRunner().run(examples)
    assert result.attempted > 10
    assert result.failed == 0


def test_main_job():
    _, out, _ = run("evaluate", *DIGITS)
    for readme in (ROOT / "README.md", ROOT / "examples" / "digits" / "README.md"):
        assert f"```text\n{out}```\n" in readme.read_text()
