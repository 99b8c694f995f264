"""What is done to a cell's text before IPython reads it."""

from __future__ import annotations

from nsmagic.notebook.request import READERS


def empty_body(lines: list[str]) -> list[str]:
    """Turn `%%unshare ARGS` with nothing below it into `%unshare ARGS`.

    IPython itself refuses a cell magic with an empty body.
    """
    text = "".join(lines).strip()
    name = text[2:].split(None, 1)[:1]
    if text.startswith("%%") and "\n" not in text and name and name[0] in READERS:
        return [text[1:] + "\n"]
    return lines
