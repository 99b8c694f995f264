"""The private directories of a boxed kernel's sockets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nsmagic.notebook.connection import SOCKET_PATH_BYTES, Connection
from nsmagic.notebook.meeting import front_place, meeting, new_directory
from nsmagic.run.ledger import close_ledger
from nsmagic.wish.errors import NsmagicError

PORTS = {f"{name}_port": 5000 for name in ("shell", "iopub", "stdin", "control", "hb")}
TCP = Connection(data={"transport": "tcp", "ip": "127.0.0.1", "key": "k", **PORTS})


@pytest.fixture(autouse=True)
def ledger_of_the_test() -> object:
    yield
    close_ledger()


def test_the_kernel_finds_the_same_connection_on_sockets_of_its_own() -> None:
    with meeting(TCP, None, (-1, -1)) as place:
        inside = json.loads(Path(place.file).read_text())
        folder = Path(place.file).parent
        assert (inside["transport"], inside["key"]) == ("ipc", "k")
        assert inside["ip"] == str(folder / "k")
        assert sorted(inside[name] for name in PORTS) == [1, 2, 3, 4, 5]
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(place.file).stat().st_mode & 0o777 == 0o600
        assert len(os.fsencode(folder / "k-5")) <= SOCKET_PATH_BYTES
    assert not folder.parent.exists()


def test_a_long_runtime_directory_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert not new_directory().is_relative_to(deep)


def test_a_directory_that_somebody_else_made_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "nsmagic-00000000"
    front = Connection(data={**TCP.data, "transport": "ipc", "ip": f"{folder}/k"})
    with front_place(front):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError), front_place(front):
        pass
    assert folder.exists()


def test_where_the_provisioner_did_not_choose_nothing_is_made(tmp_path: Path) -> None:
    own = Connection(data={**TCP.data, "transport": "ipc", "ip": f"{tmp_path}/mine/k"})
    for front in (TCP, own):
        with front_place(front):
            assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", json.dumps({**TCP.data, "hb_port": 0})]
)
def test_files_that_are_no_connection_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kernel.json"
    file.write_text(text)
    with pytest.raises(NsmagicError, match=str(file)):
        Connection.read(file)
