"""Where the notebooks of the labs are, from which learners get their copies."""

from __future__ import annotations

from pathlib import Path

import nsmagic
from nsmagic.wish.errors import NsmagicError


def bundled() -> Path:
    """Return the folder of the notebooks: in the installed package, else beside it in its source.

    Raises NsmagicError where there is none.
    """
    package = Path(nsmagic.__file__).parent
    places = (package / "notebooks", package.parent / "notebooks")
    found = next((place for place in places if (place / "README.md").exists()), None)
    if found is None:
        raise NsmagicError(
            f"the notebooks are not installed: there is no {places[0]}",
            hint="In the source of nsmagic: pip install --force-reinstall .",
        )
    return found
