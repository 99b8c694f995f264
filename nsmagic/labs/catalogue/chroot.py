"""Lab 2: another root directory, and why it is no wall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nsmagic.labs.catalogue.asking import unshare
from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "02-chroot"

_WITHOUT = "/bin/setpriv --bounding-set=-sys_chroot --inh-caps=-sys_chroot"
_CAGE = f"""\
!touch jail/{{word}}
%chroot --bg --proc cage jail {_WITHOUT} /bin/sleep 600
"""
_BY_HAND = f"""\
import os, subprocess
(playground / "jail" / word).touch()
way_out = os.open(".", os.O_RDONLY)
cage = subprocess.Popen(
    ["unshare", "--user", "--map-root-user", f"--root={{playground}}/jail", "--wd=/",
     *"{_WITHOUT} /bin/sleep 600".split()], pass_fds=[way_out])
os.close(way_out)
"""


@exercise(
    id="cage", lab=_LAB, title="A cage without a door", on="cage",
    task="Leave a process running in `jail`, from which none of the four ways leads out, and a file"
    " called as your word in its root directory.",
    covers=("3.4", "3.5", "3.6"),
    setup="%rootfs jail bash sleep setpriv",
    hints=(
        "Go through the four ways one by one: what did each of them need?",
        "chroot(2), NOTES; capabilities(7), CAP_SYS_CHROOT; setpriv(1), --bounding-set.",
        ("%%chroot changes into the jail by itself and hands no file on. Run /bin/setpriv"
         " --bounding-set=-sys_chroot --inh-caps=-sys_chroot /bin/sleep 600 in it, with --bg and"
         " --proc cage, and mount no /proc there."),
    ),
    solution=_CAGE,
    mistakes=(
        Mistake("import subprocess\ncage = subprocess.Popen(['sleep', '600'])", "of this machine"),
        Mistake("!rm jail/{word}\n" + _CAGE.partition("\n")[2], "no file called"),
        Mistake("!touch jail/{word}\n%chroot --bg --proc cage jail /bin/sleep 600",
                "CAP_SYS_CHROOT"),
        Mistake("%%unshare --user --map-root-user --bg --proc cage\n"
                "import os, signal\nos.chroot('jail')\nsignal.pause()", "current directory"),
        Mistake(_BY_HAND, "open directory"),
        Mistake("%%unshare --mount --bg --proc cage /bin/bash\nmkdir -p jail/proc\n"
                "mount --rbind /proc jail/proc\n"
                f"exec chroot jail {_WITHOUT} /bin/sleep 600", "/proc"),
    ),
    needs=("chroot", "mount"),
)  # fmt: skip
def cage(it: Watched, here: Here) -> Iterator[Fact]:
    """Inside, and every way out is closed."""
    yield Fact(
        it.own_root,
        "its root directory is another one than ours",
        "its root directory is still the one of this machine",
    )
    yield Fact(
        (it.root / here.word).exists(),
        "your file is in its root directory",
        f"there is no file called {here.word} in its root directory",
    )
    yield Fact(
        _inside(it, it.cwd),
        "way 1 is closed: it stands inside",
        f"way 1 is open: its current directory is {it.cwd}, outside of its root",
    )
    yield Fact(
        not it.may("CAP_SYS_CHROOT"),
        "way 2 is closed: it cannot call chroot",
        "way 2 is open: it has CAP_SYS_CHROOT and can call chroot again",
    )
    outside = {fd: path for fd, path in it.open_directories.items() if not _inside(it, path)}
    yield Fact(
        not outside,
        "way 3 is closed: no directory outside is open",
        "way 3 is open: it holds an open directory outside of its root: "
        + ", ".join(f"{fd} is {path}" for fd, path in outside.items()),
    )
    yield Fact(
        not (it.root / "proc/1/root").is_symlink() or not it.shares("pid", here.kernel),
        "way 4 is closed: no /proc there shows who is outside",
        "way 4 is open: its /proc shows processes that are outside, and their root directories",
    )


def _inside(it: Watched, path: str) -> bool:
    return it.root_path == "/" or Path(path).is_relative_to(it.root_path)


_JAIL = "import os, tempfile\nd = tempfile.mkdtemp(prefix='nsmagic-')\n"
_LEAVE = "os.rmdir(d)\n"


def _in_child(body: str) -> str:
    """Run lines in a child of a child in an empty directory `d`, which is removed afterwards."""
    lines = "".join(f" {line}\n" for line in body.splitlines())
    code = f"{_JAIL}if not os.fork():\n{lines} os._exit(0)\nos.wait()\n{_LEAVE}"
    return unshare("--user", "--map-root-user", _python(), "-I", "-S", "-u", "-c", code)


def _python() -> str:
    return str(Path("/proc/self/exe").resolve())


@question(
    id="root-inode", lab=_LAB, choices=("same", "different"), covers=("0.5", "4.2"),
    text="The inode number of / inside a jail, and that of the jail's directory outside, are ...",
)  # fmt: skip
def _root_inode(_: Here) -> Answer:
    outside, inside = _in_child(
        "print(os.stat(d).st_ino)\nos.chroot(d)\nprint(os.stat('/').st_ino)"
    ).split()
    return Answer(
        value="same" if outside == inside else "different",
        how="stat(2) before and after chroot(2)",
        why="It is the same directory. Only the process's idea of where / is was changed.",
    )


@question(
    id="dotdot",
    lab=_LAB,
    choices=("jail", "outside"),
    covers=("3.6", "0.7"),
    text="A process calls chroot('jail') and nothing else, and lists '..'. What it sees is the ...",
)
def _dotdot(_: Here) -> Answer:
    there = _in_child("os.chdir('/')\nos.chroot(d)\nprint('usr' in os.listdir('.'))")
    return Answer(
        value="outside" if there == "True" else "jail",
        how="chroot(2), then a look at '.' and '..'",
        why="chroot(2) does not change the current directory. The walls stand around paths from /.",
    )


@question(
    id="twice",
    lab=_LAB,
    choices=("allowed", "refused"),
    covers=("3.9",),
    text="A process in a jail that is not root, and has no capabilities, calls chroot. It is ...",
)
def _twice(_: Here) -> Answer:
    code = (
        "import os\ntry:\n os.chroot('/')\n print('allowed')\n"
        "except PermissionError: print('refused')"
    )
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", _python(), "-I", "-S", "-c", code]
    said = unshare("--user", "--map-root-user", *argv)
    return Answer(
        value=said,
        how="chroot(2) without CAP_SYS_CHROOT",
        why="chroot(2) needs CAP_SYS_CHROOT, because a changed / could fool programs of root.",
    )


@question(
    id="pivot-plain",
    lab=_LAB,
    choices=("EBUSY", "EINVAL", "works"),
    covers=("2.15",),
    text="pivot_root to a directory on which nothing is mounted: Linux says ...",
)
def _pivot_plain(_: Here) -> Answer:
    code = (
        "import errno, os, tempfile\nfrom nsmagic.linux.syscalls import pivot_root\n"
        "d = tempfile.mkdtemp(prefix='nsmagic-')\n"
        "try:\n pivot_root(d, d)\n print('works')\n"
        "except OSError as e: print(errno.errorcode[e.errno])\nos.rmdir(d)"
    )
    root = Path(__file__).resolve().parents[3]
    said = unshare(
        "--mount", _python(), "-S", "-c", f"import sys\nsys.path[:0] = [{str(root)!r}]\n{code}"
    )
    return Answer(
        value=said,
        how="pivot_root(2) in a new mount namespace",
        why="The new root must be a mount point, pivot_root(2). Mounted onto itself it is one.",
    )


@question(id="quiz-inode", lab=_LAB, text="Quiz: what is the inode number of this notebook's /?",
          covers=("0.4",))  # fmt: skip
def _quiz_inode(_: Here) -> Answer:
    return Answer(
        value=str(Path("/").stat().st_ino),
        how="stat / (`stat -c %i /` in a shell)",
        why="On ext4 the top directory of a disk has the number 2; in a container it rarely has.",
    )


@question(id="quiz-root", lab=_LAB, text="Quiz: where does /proc/1/root lead, seen from here?",
          covers=("0.4",))  # fmt: skip
def _quiz_root(_: Here) -> Answer:
    return Answer(
        value=Watched(1).root_path,
        how="readlink /proc/1/root",
        why="Every process has a root directory of its own, and children get that of their parent.",
    )


@question(id="quiz-open", lab=_LAB, covers=("1.27",),
          text="Quiz: how many directories does this notebook hold open?")  # fmt: skip
def _quiz_open(here: Here) -> Answer:
    return Answer(
        value=str(len(here.kernel.open_directories)),
        how="ls -l /proc/self/fd, the links that lead to directories",
        why="Each one would be a way out of a jail, had this notebook gone into one: way 3.",
    )
