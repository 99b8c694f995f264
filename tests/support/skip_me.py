"""Collected only by test_support.py: one skip that is on the list and one that is not."""

import pytest


def test_on_the_list() -> None:
    pytest.skip("needs root")


def test_not_on_the_list() -> None:
    pytest.skip("the weather")
