r"""Text that others wrote, as it is shown: on a terminal, in a table, in report.html.

A device, a file or an address may hold bytes that move the cursor, retitle the window, turn the
direction of writing or cannot be seen at all. Whatever prints a text sends it through here at the
last moment, so that `\x1b` is read as these four characters; inside, texts stay what they are, and
JSON escapes by its own rules.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks by Unicode's categories that have no width (Default_Ignorable_Code_Point)."""


def shown(text: str) -> str:
    r"""One line without anything that a terminal obeys or a reader cannot see.

    What is not printable by Unicode's categories (controls of both kinds, marks that turn the
    direction of writing, zero-width ones, line breaks, lone surrogates, spaces other than ' ') is
    written as Python would write it in a literal: `\x1b`, `\n`, `\u202e`.
    """
    if text.isprintable() and _UNSEEN.search(text) is None:
        return text
    return "".join(map(_visible, text))


def shown_lines(text: str) -> str:
    """`shown`, of each line: for what has several by intent, such as a traceback."""
    return "\n".join(map(shown, text.split("\n")))


def rich_text(text: str, style: str = "") -> "Text":
    """`shown` as rich prints it: never read as markup."""
    # Imported here, because a quiet command needs no rich.
    from rich.text import Text

    return Text(shown(text), style=style)


def _visible(character: str) -> str:
    if character.isprintable() and _UNSEEN.match(character) is None:
        return character
    return character.encode("unicode_escape").decode("ascii")
