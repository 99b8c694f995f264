"""The doctor on a machine with pure cgroup v2: the throw-away guest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.skips import needs
from tests.test_vm import BOOT, can_boot, guest

if TYPE_CHECKING:
    from tests.support.user import Account


@pytest.mark.vm
@needs(can_boot)
@pytest.mark.timeout(2 * BOOT)
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
def test_cgroups_are_v2_there(as_user: Account, user: bool) -> None:
    program = f"{as_user.python} -m nsmagic.cli doctor --json || true; cat /proc/self/cgroup"
    text = guest(as_user, "sh", "-c", program, user=user)
    data, end = json.JSONDecoder().raw_decode(text)
    own = text[end:].strip().removeprefix("0::")
    by = {(each["name"], each["way"]): each for each in data["checks"]}
    for name in ("cgroup", "freezer", "memory", "cpu", "pids"):
        found = by[name, "plain"]
        assert found["state"] == "works", found
        place = found["detail"].removeprefix("cgroup v2, in /sys/fs/cgroup")
        assert own.startswith(place), (place, own)
    assert by["psi", "plain"]["errno"] == "ENOENT"  # User Mode Linux has none
    assert by["net", data["system"]["usual"]]["state"] == "works"


@pytest.mark.vm
@needs(can_boot)
@pytest.mark.timeout(2 * BOOT)
def test_without_delegation_an_ordinary_user_is_told_how_to_get_groups(as_user: Account) -> None:
    drop = f"setpriv --reuid={as_user.uid} --regid={as_user.gid} --clear-groups"
    program = f"{drop} {as_user.python} -m nsmagic.cli doctor --json || true"
    data = json.loads(guest(as_user, "sh", "-c", program))
    for found in data["checks"]:
        if found["name"] in {"cgroup", "memory", "pids"}:
            assert (found["state"], found["errno"]) == ("refused", "EACCES")
            assert f"may not be written by uid {as_user.uid}" in found["why"]
            assert "chown -R" in found["fix"] or "Delegate=yes" in found["fix"]
