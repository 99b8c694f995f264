"""Labs: exercises that are checked against Linux, guesses that Linux answers, and the guard.

Light to import, because `%lab` is registered when nsmagic is loaded: the rest comes when asked for.
"""

from __future__ import annotations
