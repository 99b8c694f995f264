from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nsmagic
from nsmagic.run.logs import LogFile, Retention, prune, readable_size, state_dir
from tests.support.skips import needs, probe, root_only
from tests.support.user import Account

DAY = 86400.0
SMALL_DISK = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$1" && shift && "$@"']


@probe
def mounting_a_tmpfs() -> str | None:
    argv = [*SMALL_DISK, "sh", "/mnt", "true"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def other_kernels_log(
    directory: Path, pid: int, start: int, *, age: float = 0, size: int = 10
) -> Path:
    path = directory / f"20200101-000000-pid{pid}-cell{size}-{start:x}.log"
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def own_log(directory: Path, *, age: float = 0, size: int = 10) -> Path:
    log = LogFile(cell="own", directory=directory, eager=True, retention=Retention(total=10**6))
    log.write(b"x" * size)
    log.close()
    assert log.path is not None
    os.utime(log.path, (time.time() - age,) * 2)
    return log.path


def start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_nothing_is_written_before_more_than_the_held_bytes_came(tmp_path: Path) -> None:
    log = LogFile(cell=3, hold=100, directory=tmp_path / "logs")
    log.write(b"x" * 100)
    assert not (tmp_path / "logs").exists()
    log.write(b"y")
    log.flush()
    assert log.path is not None
    assert log.path.read_bytes() == b"x" * 100 + b"y"
    log.close()


def test_the_file_is_the_stream_byte_by_byte(tmp_path: Path) -> None:
    log, expected = LogFile(cell=3, directory=tmp_path), hashlib.sha256()
    for size in (1, 70_000, 999_000, 3, 1_000_000, 80, 262_144, 1):
        data = os.urandom(size)
        expected.update(data)
        log.write(data)
    log.close()
    assert log.path is not None
    assert hashlib.sha256(log.path.read_bytes()).digest() == expected.digest()
    assert log.kept == log.path.stat().st_size
    assert log.trouble == ""


def test_an_eager_log_can_be_read_after_each_flush(tmp_path: Path) -> None:
    log = LogFile(cell=3, directory=tmp_path, eager=True)
    assert log.path is not None
    assert log.path.read_bytes() == b""
    log.write(b"first\n")
    log.flush()
    assert log.path.read_bytes() == b"first\n"
    log.close()


def test_only_its_owner_reads_a_log_whatever_the_umask(tmp_path: Path) -> None:
    for umask in (0, 0o777):
        before = os.umask(umask)
        try:
            log = LogFile(cell=3, directory=tmp_path, eager=True)
        finally:
            os.umask(before)
        log.close()
        assert log.path is not None
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_the_name_has_date_pid_and_cell_and_is_never_used_twice(tmp_path: Path) -> None:
    logs = [
        LogFile(cell="../a b", directory=tmp_path, eager=True, now=lambda: 0.0) for _ in range(3)
    ]
    for log in logs:
        log.close()
    names = {log.path.name for log in logs if log.path}
    day = time.strftime("%Y%m%d-%H%M%S", time.localtime(0))
    assert len(names) == 3
    assert all(name.startswith(f"{day}-pid{os.getpid()}-cell.._a_b") for name in names)


def test_the_state_directory_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_dir() == tmp_path / "xdg" / "nsmagic"
    monkeypatch.setenv("NSMAGIC_STATE_DIR", str(tmp_path / "ours"))
    log = LogFile(cell=1, eager=True)
    log.close()
    assert log.path is not None
    assert log.path.parent == tmp_path / "ours" / "logs"
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_the_oldest_logs_of_dead_kernels_make_room_for_a_new_one(tmp_path: Path) -> None:
    oldest = other_kernels_log(tmp_path, 4_194_305, 1, age=3 * DAY, size=400)
    middle = other_kernels_log(tmp_path, 4_194_305, 1, age=2 * DAY, size=401)
    newest = other_kernels_log(tmp_path, 4_194_305, 1, age=1 * DAY, size=402)
    strange = tmp_path / "notes.log"
    strange.write_bytes(b"x" * 5000)
    log = LogFile(cell=1, directory=tmp_path, eager=True, retention=Retention(total=1000))
    log.close()
    assert [path.exists() for path in (oldest, middle, newest, strange)] == [
        False,
        True,
        True,
        True,
    ]


def test_logs_older_than_the_limit_go(tmp_path: Path) -> None:
    old = other_kernels_log(tmp_path, 4_194_305, 1, age=8 * DAY)
    young = other_kernels_log(tmp_path, 4_194_305, 1, age=6 * DAY, size=11)
    assert prune(tmp_path, Retention(), now=time.time()) == [old]
    assert young.exists()


def test_a_live_kernels_logs_stay_but_not_those_of_a_former_process_with_its_pid(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as kernel:
        start = start_time(kernel.pid)
        live = other_kernels_log(tmp_path, kernel.pid, start, age=8 * DAY)
        former = other_kernels_log(tmp_path, kernel.pid, start - 1, age=8 * DAY)
        assert prune(tmp_path, Retention(total=0), now=time.time()) == [former]
        kernel.communicate(b"\n")
    assert prune(tmp_path, Retention(total=0), now=time.time()) == [live]


def test_own_finished_logs_go_last_and_one_being_written_stays(tmp_path: Path) -> None:
    own = own_log(tmp_path, age=5 * DAY, size=100)
    dead = other_kernels_log(tmp_path, 4_194_305, 1, size=100)
    writing = LogFile(cell=1, directory=tmp_path, eager=True)
    assert prune(tmp_path, Retention(total=100), now=time.time()) == [dead]
    assert prune(tmp_path, Retention(total=0), now=time.time() + 30 * DAY) == [own]
    writing.close()
    assert prune(tmp_path, Retention(), now=time.time() + 30 * DAY) == [writing.path]


def test_what_cannot_be_looked_at_stays_and_stops_nobody(tmp_path: Path) -> None:
    link = tmp_path / "20200101-000000-pid4194305-cell1-1.log"
    link.symlink_to(tmp_path)
    dead = other_kernels_log(tmp_path, 4_194_305, 1, age=8 * DAY, size=800)
    log = LogFile(cell=1, directory=tmp_path, eager=True, retention=Retention(total=1000))
    log.write(b"x" * 900)
    log.close()
    assert (log.trouble, log.kept, link.is_symlink(), dead.exists()) == ("", 900, True, False)


@pytest.mark.linux
@root_only
def test_a_log_that_root_left_to_a_user_stays_and_stops_nobody(
    tmp_path: Path, as_user: Account
) -> None:
    logs = as_user.home / "logs"
    program = f"""
from pathlib import Path
from nsmagic.run.logs import LogFile, Retention
log = LogFile(cell=1, eager=True, directory=Path({str(logs)!r}), retention=Retention(total=1000))
log.write(b"x" * 900)
log.close()
print(log.kept, log.trouble)
"""
    as_user.run([as_user.python, "-c", f"import os; os.makedirs({str(logs)!r}, exist_ok=True)"])
    left = other_kernels_log(logs, 4_194_305, 1, age=8 * DAY, size=800)  # by sudo jupyter lab
    left.chmod(0o600)
    done = as_user.run([as_user.python, "-c", program])
    assert (done.stdout, left.exists()) == ("900 \n", True), done.stderr


def test_a_growing_log_takes_the_room_of_older_ones(tmp_path: Path) -> None:
    dead = other_kernels_log(tmp_path, 4_194_305, 1, age=DAY, size=800)
    log = LogFile(cell=1, directory=tmp_path, eager=True, retention=Retention(total=1600))
    log.write(b"x" * 600)
    assert dead.exists()
    log.write(b"x" * 400)
    assert not dead.exists()
    log.close()
    assert log.kept == 1000


def test_one_log_stops_at_the_total_and_says_so(tmp_path: Path) -> None:
    log = LogFile(cell=1, directory=tmp_path, hold=10, retention=Retention(total=1000))
    for _ in range(3):
        log.write(b"x" * 600)
    log.close()
    assert log.path is not None
    assert log.path.read_bytes() == b"x" * 1000
    assert log.trouble == f"the log stops at 1.0 kB: {log.path}: one log may not grow larger"


def test_a_log_that_cannot_be_made_says_where_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    log = LogFile(cell=1, directory=tmp_path / "file" / "logs", eager=True)
    log.write(b"x" * 2_000_000)
    log.close()
    assert log.path is None
    assert log.trouble.endswith("file/logs: Not a directory")


@pytest.mark.linux
@needs(mounting_a_tmpfs)
@pytest.mark.parametrize("chunk", [80, 65_536])
def test_a_full_disk_ends_the_log_and_not_the_cell(tmp_path: Path, chunk: int) -> None:
    program = f"""
from pathlib import Path
from nsmagic.run.logs import LogFile
log = LogFile(cell=1, hold=0, directory=Path({str(tmp_path)!r}))
for _ in range(3_000_000 // {chunk}):
    log.write(b"x" * {chunk})
log.close()
print(log.kept == log.path.stat().st_size, 900_000 < log.kept <= 2**20)
print(log.trouble)
"""
    argv = [*SMALL_DISK, "sh", str(tmp_path), sys.executable, "-W", "error", "-c", program]
    env = os.environ | {"PYTHONPATH": str(Path(nsmagic.__file__).parents[1])}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=env)
    assert done.stderr == ""
    first, trouble = done.stdout.splitlines()
    assert first == "True True"
    assert trouble.startswith("the log stops at 1.0 MB: ")
    assert trouble.endswith(": No space left on device")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (37_200_000, "37.2 MB"), (2_500_000_000, "2.5 GB")],
)  # fmt: skip
def test_sizes_read_well(size: int, text: str) -> None:
    assert readable_size(size) == text
