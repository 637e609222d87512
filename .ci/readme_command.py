"""Print the commands of README's code block under the comment `<!-- command: NAME -->`: readme_command.py FILE NAME"""

import re
import sys
from pathlib import Path

path, name = sys.argv[1:]
pattern = rf"<!-- command: {re.escape(name)} -->\s*\n```[^\n]*\n(.*?)^```"
found = re.findall(pattern, Path(path).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
if len(found) != 1:
    sys.exit(f"{path}: {len(found)} code blocks under the comment 'command: {name}', expected 1")
print(found[0], end="")
