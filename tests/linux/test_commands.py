"""What processes run, also of one that becomes another program late."""

from __future__ import annotations

import subprocess

import pytest

from nsmagic.linux.commands import Commands

pytestmark = pytest.mark.linux


def test_a_command_is_read_again_until_its_process_is_no_longer_young() -> None:
    becomes = "echo up; read line; exec sleep 77"
    with subprocess.Popen(["sh", "-c", becomes], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        commands, sated = Commands(young=60), Commands(young=0)
        assert commands.of(child.pid) == sated.of(child.pid) == f"sh -c {becomes}"
        child.stdin.write("go\n")
        child.stdin.flush()
        while commands.of(child.pid) != "sleep 77":
            assert child.poll() is None
        assert sated.of(child.pid) == f"sh -c {becomes}"
        sated.keep([])
        assert sated.of(child.pid) == "sleep 77"
        child.kill()
    assert commands.of(child.pid) == "sleep 77"  # what it was, as long as it is kept
    assert Commands(young=1).of(child.pid) == ""
