"""Noise at the ports of a boxed kernel, and what another user finds of its sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from tests.fuzz.hostile import hold
from tests.support.boxed import box, running
from tests.support.skips import root_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kernel_driver import KernelDriver
    from tests.support.user import Account

_GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\0NULL" + b"\0" * 48  # of ZMTP 3.0
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


@pytest.fixture(scope="module")
def boxed_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelDriver]:
    """A kernel in a box, behind TCP ports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        box("fuzzed", provisioned=False)
        with running("fuzzed") as driver:
            yield driver


def test_noise_at_the_ports(boxed_kernel: KernelDriver) -> None:
    def check(pair: tuple[str, bytes]) -> None:
        port, data = pair
        address = (boxed_kernel.manager.ip, getattr(boxed_kernel.manager, port))
        with socket.create_connection(address, timeout=10) as sock:
            sock.sendall(data)

    noise = st.binary(max_size=300)
    data = st.one_of(noise, noise.map(lambda tail: _GREETING + tail))
    hold(100, st.tuples(st.sampled_from(_PORTS), data), check)
    assert boxed_kernel.run("6 * 7").text == "42"


@root_only
def test_no_socket_for_another_user(boxed_kernel: KernelDriver, as_user: Account) -> None:
    """Those with a path lie where nobody else may go; the spawner's and the cells' have none."""
    paths = [
        line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(line.split()) == 8 and "/nsmagic" in line
    ]  # fmt: skip
    assert paths
    assert not [path for path in paths if path.startswith("@")]
    program = (
        "import socket, sys\nfor path in sys.argv[1:]:\n    try:\n"
        "        socket.socket(socket.AF_UNIX).connect(path)\n        print(path)\n"
        "    except (PermissionError, FileNotFoundError, ConnectionRefusedError): pass\n"
    )
    done = as_user.run([as_user.python, "-c", program, *paths])
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert os.geteuid() == 0
    assert boxed_kernel.run("6 * 7").text == "42"
