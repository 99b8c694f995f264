"""The readers of ELF headers and first lines, and what a program needs, beside the real ld.so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsmagic.linux import ldcache
from nsmagic.linux.elf import DamagedError, Elf, Script, read_elf, read_head
from nsmagic.linux.libraries import built_in_folders
from nsmagic.linux.needs import env_program, find_program, needs, what_is_missing
from tests.support.programs import output

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.linux

PROGRAMS = (
    *("bash", "ls", "cat", "git", "perl", "python3.11", "ssh", "vim", "curl", "gcc", "readelf"),
    *("sed", "awk", "tar", "find", "grep", "ps", "ip", "unshare", "mount", "ldconfig"),
)
BASH = str(shutil.which("bash", path="/usr/bin:/bin"))


def by_the_loader(path: str) -> tuple[list[str], list[str]]:
    """Paths that ld.so loads for a program, and names that it does not find."""
    text = output(["ldd", path])  # which executes it: these programs are our own
    found = re.findall(r"^\t(?:\S+ => )?(/.+) \(0x", text, re.MULTILINE)
    return found, re.findall(r"^\t(\S+) => not found", text, re.MULTILINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_libraries_are_those_of_the_loader(name: str) -> None:
    path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None or not isinstance(read_head(Path(path)), Elf):
        path = BASH  # every machine has some of them, and this one
    found = needs(path)
    if not found.loaders:
        assert found.libraries == ()
        return
    loaded, missing = by_the_loader(str(Path(path).resolve()))
    assert sorted((*found.libraries, *found.loaders)) == sorted(loaded)
    assert [each.name for each in found.missing] == missing


def test_the_built_in_directories_are_those_the_loader_tells_of() -> None:
    loader = needs(BASH).loaders[0]
    text = output([loader, "--help"])
    told = re.findall(r"^  (/\S+) \(system search path\)", text, re.MULTILINE)
    if not told:
        pytest.skip("this ld.so does not tell its search path")
    assert list(built_in_folders(Path(loader))) == told


class TestCompiled:
    """Programs made for the rules of the search."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        if shutil.which("gcc") is None:
            pytest.skip("gcc is not installed")
        (tmp_path / "lib").mkdir()
        (tmp_path / "far").mkdir()
        (tmp_path / "f.c").write_text("int f(void) { return 7; }")
        (tmp_path / "g.c").write_text("int f(void); int g(void) { return f(); }")
        (tmp_path / "main.c").write_text("int g(void); int main(void) { return g() != 7; }")
        return tmp_path

    def gcc(self, folder: Path, line: str) -> None:
        subprocess.run(["gcc", *line.split()], cwd=folder, check=True, timeout=60)

    def check(self, program: str) -> list[str]:
        found = needs(program)
        loaded, missing = by_the_loader(program)
        assert sorted((*found.libraries, *found.loaders)) == sorted(loaded)
        assert [each.name for each in found.missing] == missing
        return missing

    def link(self, folder: Path, flags: str) -> str:
        self.gcc(folder, "-shared -fPIC -Wl,-soname,libf.so.1 -o far/libf.so.1 f.c")
        self.gcc(folder, "-shared -fPIC -Wl,-soname,libg.so.1 -o lib/libg.so.1 g.c far/libf.so.1")
        self.gcc(folder, f"-o main main.c lib/libg.so.1 -Wl,-rpath-link,far {flags}")
        return str(folder / "main")

    def test_runpath_is_for_the_program_alone(self, folder: Path) -> None:
        flags = "-Wl,--enable-new-dtags -Wl,-rpath,$ORIGIN/lib:${ORIGIN}/far"
        assert self.check(self.link(folder, flags)) == ["libf.so.1"]

    def test_rpath_is_for_its_libraries_too(self, folder: Path) -> None:
        flags = "-Wl,--disable-new-dtags -Wl,-rpath,$ORIGIN/lib:${ORIGIN}/far"
        assert self.check(self.link(folder, flags)) == []

    def test_lib_and_platform(self, folder: Path) -> None:
        flags = "-Wl,--disable-new-dtags -Wl,-rpath,/$LIB:$ORIGIN/$PLATFORM:$ORIGIN/lib"
        assert self.check(self.link(folder, flags)) == ["libf.so.1"]

    def test_without_a_path_both_are_missing(self, folder: Path) -> None:
        program = self.link(folder, "")
        assert self.check(program) == ["libg.so.1"]
        assert what_is_missing("", program) == needs(program).missing

    def test_one_for_another_machine_is_passed_over(self, folder: Path) -> None:
        program = self.link(folder, "-Wl,--disable-new-dtags -Wl,-rpath,$ORIGIN/lib:$ORIGIN/far")
        shutil.copy(folder / "far/libf.so.1", folder / "lib/libf.so.1")
        with (folder / "lib/libf.so.1").open("r+b") as library:
            library.seek(18)
            library.write(b"\xf7\x00")  # EM_BPF
        assert self.check(program) == []
        assert str(folder / "far/libf.so.1") in needs(program).libraries

    def test_a_damaged_library(self, folder: Path) -> None:
        program = self.link(folder, "-Wl,--disable-new-dtags -Wl,-rpath,$ORIGIN/lib:$ORIGIN/far")
        (folder / "far/libf.so.1").write_bytes(b"\x7fELF")
        (lack,) = needs(program).missing
        assert (lack.name, lack.damaged) == ("libf.so.1", str(folder / "far/libf.so.1"))

    def test_a_static_program_needs_nothing(self, folder: Path) -> None:
        (folder / "main.c").write_text("int main(void) { return 0; }")
        self.gcc(folder, "-static -nostdlib -Wl,-emain -o main main.c")
        assert needs(str(folder / "main")) == type(needs(BASH))(program=str(folder / "main"))


class TestFirstLines:
    @pytest.mark.parametrize(
        ("line", "interpreter", "argument"),
        [
            (b"#!/bin/sh\n", "/bin/sh", ""),
            (b"#! /bin/sh -e -u\nrest", "/bin/sh", "-e -u"),
            (b"#!\t/bin/sh\t-x \n", "/bin/sh", "-x"),
            (b"#!/bin/sh\r\n", "/bin/sh\r", ""),
            (b"#!/usr/bin/env -S python3 -u\n", "/usr/bin/env", "-S python3 -u"),
            (b"#!/bin/a\xff\n", "/bin/a\udcff", ""),
        ],
    )
    def test_script(self, tmp_path: Path, line: bytes, interpreter: str, argument: str) -> None:
        (tmp_path / "s").write_bytes(line)
        expected = Script(interpreter=interpreter, argument=argument)
        assert read_head(tmp_path / "s") == expected

    @pytest.mark.parametrize("content", [b"", b"#", b"#!", b"#!\n", b"#! \t\n", b"echo hi\n"])
    def test_neither(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "s").write_bytes(content)
        assert read_head(tmp_path / "s") is None

    @pytest.mark.parametrize(
        ("argument", "program"),
        [
            ("python3", "python3"), ("-S perl -w", "perl"), ("-Sperl -w", "perl"),
            ("-S -i A=1 sh", "sh"), ("", ""),
        ],
    )  # fmt: skip
    def test_env(self, argument: str, program: str) -> None:
        assert env_program(Script(interpreter="/usr/bin/env", argument=argument)) == program
        assert env_program(Script(interpreter="/bin/sh", argument=argument)) == ""

    def test_interpreters_and_their_libraries(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("#!/usr/bin/env -S bash -e\n")
        found = needs(str(tmp_path / "s"))
        assert found.interpreters == ("/usr/bin/env", find_program("bash"))
        assert set(needs(BASH).libraries) <= set(found.libraries)

    def test_a_script_for_a_script(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text(f"#!{tmp_path}/b\n")
        (tmp_path / "b").write_text("#!/nowhere/perl\n")
        (lack,) = needs(str(tmp_path / "a")).missing
        assert (lack.kind, lack.name) == ("interpreter", "/nowhere/perl")
        assert lack.needed_by == f"{tmp_path}/b"

    def test_a_script_for_itself_ends(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text(f"#!{tmp_path}/a\n")
        assert needs(str(tmp_path / "a")).missing == ()


class TestRoots:
    """The same below another root, whose links never lead out of it."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        found = needs(BASH)
        for path in (BASH, *found.loaders, *found.libraries):
            copy = tmp_path / path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        return tmp_path

    def missing(self, root: Path) -> Sequence[tuple[str, str]]:
        return [(each.kind, each.name) for each in what_is_missing(str(root), BASH)]

    def test_whole(self, root: Path) -> None:
        assert self.missing(root) == []

    def test_without_loader_and_library(self, root: Path) -> None:
        found = needs(BASH)
        (root / found.loaders[0].lstrip("/")).unlink()
        (root / found.libraries[0].lstrip("/")).unlink()
        library = Path(found.libraries[0]).name
        assert self.missing(root) == [("loader", found.loaders[0]), ("library", library)]

    def test_an_absolute_link_stays_inside(self, root: Path) -> None:
        loader = root / needs(BASH).loaders[0].lstrip("/")
        loader.rename(root / "moved")
        loader.symlink_to("/moved")
        assert self.missing(root) == []
        loader.unlink()
        loader.symlink_to(needs(BASH).libraries[0] + ".not-there")
        assert [kind for kind, _ in self.missing(root)] == ["loader"]

    def test_a_loop_of_links(self, root: Path) -> None:
        loader = root / needs(BASH).loaders[0].lstrip("/")
        loader.unlink()
        loader.symlink_to(loader.name)
        assert [kind for kind, _ in self.missing(root)] == ["loader"]

    def test_a_program_that_is_not_there(self, root: Path) -> None:
        (lack,) = what_is_missing(str(root), "no-such-program")
        assert (lack.kind, lack.name) == ("program", "no-such-program")


class TestCache:
    def test_agrees_with_ldconfig(self) -> None:
        listed = output([shutil.which("ldconfig", path="/usr/sbin:/sbin") or "ldconfig", "-p"])
        wanted = set(re.findall(r"^\t(\S+) \(.*\) => (.+)$", listed, re.MULTILINE))
        if not wanted:
            pytest.skip("this machine has no /etc/ld.so.cache")
        cache = ldcache.read_cache(Path("/etc/ld.so.cache"))
        assert {(name, path) for name, paths in cache.items() for path in paths} <= wanted
        assert cache.keys() == {name for name, _ in wanted}

    @pytest.mark.parametrize("keep", [0, 7, 20, 47, 60, 500])
    def test_a_cut_off_cache_is_no_cache(self, tmp_path: Path, keep: int) -> None:
        cache = Path("/etc/ld.so.cache")
        whole = cache.read_bytes() if cache.exists() else b"glibc-ld.so.cache1.1" + b"\xff" * 500
        (tmp_path / "cache").write_bytes(whole[:keep])
        assert ldcache.read_cache(tmp_path / "cache") == {}
        assert ldcache.read_cache(tmp_path / "none") == {}


class TestDamage:
    WHOLE = Path(BASH).read_bytes()

    @pytest.mark.parametrize("keep", [4, 5, 16, 63, 64, 100, 0x200])
    def test_cut_off(self, tmp_path: Path, keep: int) -> None:
        (tmp_path / "p").write_bytes(self.WHOLE[:keep])
        with pytest.raises(DamagedError, match="p is cut off or damaged"):
            read_head(tmp_path / "p")
        assert what_is_missing("", str(tmp_path / "p")) == ()

    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        bytes_=st.lists(
            st.tuples(st.integers(4, 64 + 56 * 13), st.integers(0, 255)), min_size=1, max_size=20
        )
    )
    def test_garbage(self, tmp_path: Path, bytes_: list[tuple[int, int]]) -> None:
        data = bytearray(self.WHOLE)
        for at, value in bytes_:
            data[at] = value
        (tmp_path / "p").write_bytes(data)
        try:
            head = read_elf(tmp_path / "p")
        except DamagedError:
            return
        assert isinstance(head, Elf)
