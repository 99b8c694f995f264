"""`%nsmagic clean`: removes what kernels that died left, as `nsmagic clean` does in a shell."""

from __future__ import annotations

from collections.abc import Sequence

from nsmagic.notebook.tables import Cell, Column, Table, Tone
from nsmagic.run.sweep import Finding, sweep
from nsmagic.wish.errors import NsmagicError, WishError

_TONES: dict[str, Tone] = {"removed": "good", "failed": "bad", "listed": "plain"}


def clean(words: Sequence[str]) -> Table:
    """Sweep and tell; NsmagicError if something would not go."""
    if [*words] not in ([], ["--dry-run"]):
        raise WishError(
            f"nsmagic clean takes --dry-run and nothing else: {' '.join(words)}",
            hint="%nsmagic clean --dry-run   only says what there is.",
        )
    try:
        found = sweep(dry_run=bool(words))
    except OSError as error:
        raise NsmagicError(f"the ledgers in {error.filename}: {error.strerror}") from None
    failed = [each.sentence for each in found if each.outcome == "failed"]
    if failed:
        raise NsmagicError("; ".join(failed))
    return Table(columns=(Column(title="what kernels that died left"),), rows=_rows(found))


def _rows(found: Sequence[Finding]) -> tuple[tuple[Cell], ...]:
    if not found:
        return ((Cell(text="nothing is left", tone="dim"),),)
    return tuple(
        (Cell(text=each.sentence, tone=_TONES.get(each.outcome, "dim")),) for each in found
    )
