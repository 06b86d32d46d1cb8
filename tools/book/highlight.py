# SPDX-License-Identifier: GPL-2.0-or-later
"""Source code as HTML, line by line: pygments says what each word is, and style.css has a colour for a few kinds.

Read next: page.py, site.py.
"""

from __future__ import annotations

from functools import cache
from html import escape

from pygments.lexers.asm import GasLexer
from pygments.lexers.c_cpp import CLexer
from pygments.lexers.python import PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

LEXERS = {".py": PythonLexer, ".pyi": PythonLexer, ".c": CLexer, ".h": CLexer, ".S": GasLexer, ".sh": BashLexer}
KINDS = (  # the first that fits
    (Comment.Preproc, "p"),
    (String.Doc, "c"),
    (Comment, "c"),
    (Keyword, "k"),
    (String, "s"),
    (Number, "m"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Label, "f"),
    (Name.Decorator, "p"),
)


@cache
def _kind(token: _TokenType) -> str:
    return next((kind for parent, kind in KINDS if token in parent), "")


@cache  # most files are in the book, and have a page of their own
def highlight(suffix: str, text: str) -> tuple[str, ...]:
    """The lines of a text, with tabs as spaces; of an unknown suffix they are only escaped."""
    # In assembly a # at the margin is for the C preprocessor, which pygments takes for a comment.
    directives = {at: line for at, line in enumerate(text.splitlines()) if suffix == ".S" and line.startswith("#")}
    text = "\n".join("" if at in directives else line.expandtabs(8) for at, line in enumerate(text.splitlines()))
    lexer = LEXERS.get(suffix)
    if not lexer:
        return tuple(escape(line, quote=False) for line in text.split("\n"))
    lines = [""]
    for token, words in lexer(stripnl=False, ensurenl=False).get_tokens(text):
        kind = _kind(token)
        for number, part in enumerate(words.split("\n")):
            if number:
                lines.append("")
            part = escape(part, quote=False)
            lines[-1] += f"<i class={kind}>{part}</i>" if kind and part.strip() else part
    for at, line in directives.items():
        lines[at] = highlight(".c", line)[0]
    return tuple(lines)
