"""`--return`: what a cell assigns and the notebook then has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kernel_driver import CellRun, KernelDriver

pytestmark = pytest.mark.linux


@pytest.fixture(autouse=True)
def clean(kernel: KernelDriver) -> Iterator[None]:
    """No variables of the test before."""
    yield
    kernel.run("%reset -f", raise_error=True)


def bring(kernel: KernelDriver, names: str, body: str, options: str = "--net --uts") -> CellRun:
    return kernel.run(f"%%unshare {options} --return {names}\n{body}", timeout=60)


def value(kernel: KernelDriver, expression: str) -> object:
    run = kernel.run(f"print(ascii({expression}))")
    run.raise_error()
    return ast.literal_eval(run.stdout)


def test_values_come_back(kernel: KernelDriver) -> None:
    bring(kernel, "a,b --return c", "a, b, c = {'k': [1, (2, b'x')]}, 10**20, 'é'").raise_error()
    assert value(kernel, "[a, b, c]") == [{"k": [1, (2, b"x")]}, 10**20, "é"]


def test_a_hundred_megabytes_arrive_whole_and_writable(kernel: KernelDriver) -> None:
    kernel.run("import hashlib, numpy as np")
    body = (
        "big = np.arange(100 * 2**20 // 8).reshape(1024, -1)\n"
        "digest = hashlib.sha256(big).hexdigest()"
    )
    bring(kernel, "big,digest", body).raise_error()
    check = "[big.nbytes, big.shape, hashlib.sha256(big).hexdigest() == digest]"
    assert value(kernel, check) == [100 * 2**20, (1024, 12800), True]
    assert value(kernel, "(big.__setitem__((0, 0), 5), int(big[0, 0]))[1]") == 5


def test_objects_of_the_notebooks_classes(kernel: KernelDriver) -> None:
    kernel.run(
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\ndef f(): return P(0)"
    )
    bring(kernel, "p,g,kind", "p = [P(1), {'in': P(2)}]; g = f; kind = P").raise_error()
    assert (
        value(kernel, "[type(p[0]) is P, p == [P(1), {'in': P(2)}], g is f, kind is P]")
        == [True] * 4
    )


def test_what_the_cell_itself_defined(kernel: KernelDriver) -> None:
    body = (
        "class Q:\n    def __init__(self, n): self.n = n\n    def twice(self): return 2 * self.n\n"
        "q = Q(4)\ndef add(a, b=3): return a + b\nmul = lambda a: a * 5"
    )
    refused = bring(kernel, "Q,q,add,mul", body).error or {}
    assert "q: its pickle calls cloudpickle" in refused["evalue"]
    assert "--allow-pickle   takes it all the same" in refused["traceback"][-1]
    assert value(kernel, "{'Q', 'q', 'add', 'mul'} & {*globals()}") == set()
    bring(kernel, "Q,q,add,mul", body, "--net --uts --allow-pickle").raise_error()
    assert value(kernel, "[isinstance(q, Q), q.twice(), Q(1).twice(), add(1), mul(2)]") == [
        True, 8, 2, 4, 10
    ]  # fmt: skip


def test_a_lock_is_refused_and_the_others_come(kernel: KernelDriver) -> None:
    run = bring(kernel, "a,lock,gone,b", "import threading\na = 1; lock = threading.Lock(); b = 2")
    assert run.status == "error"
    assert run.error is not None
    assert run.error["evalue"] == (
        "--return could not bring back lock: cannot pickle '_thread.lock' object; "
        "gone: the cell did not define it"
    )
    assert value(kernel, "[a, b, 'lock' in globals(), 'gone' in globals()]") == [1, 2, False, False]


@pytest.mark.parametrize("end", ["1/0", "import sys; sys.exit(2)", "import os; os._exit(3)"])
def test_a_body_that_fails_assigns_nothing(kernel: KernelDriver, end: str) -> None:
    kernel.run("a = 'before'")
    assert bring(kernel, "a,b", f"a = b = 1\n{end}").status == "error"
    assert value(kernel, "[a, 'b' in globals()]") == ["before", False]


def test_only_the_names_asked_for(kernel: KernelDriver) -> None:
    kernel.run("a = b = 'before'")
    bring(kernel, "a", "a = b = 'after'").raise_error()
    assert value(kernel, "[a, b]") == ["after", "before"]


@pytest.mark.parametrize("name", ["class", "1a", "a-b", "None"])
def test_what_is_no_name_is_refused_before_anything_runs(kernel: KernelDriver, name: str) -> None:
    run = bring(kernel, name, "print('ran')")
    assert (run.status, run.stdout) == ("error", "")
    assert f"'{name}' is not a name" in run.stderr


def test_an_object_that_cannot_be_made_here(kernel: KernelDriver) -> None:
    kernel.run(
        "import os\ndef only_in(pid):\n    assert os.getpid() == pid, 'not here'\n    return 1"
    )
    body = "class R:\n    def __reduce__(self): return only_in, (os.getpid(),)\ngood = 5; bad = R()"
    run = bring(kernel, "bad,good", body, "--net --uts --allow-pickle")
    assert (run.error or {})["evalue"].endswith("bad: AssertionError: not here")
    assert value(kernel, "[good, 'bad' in globals()]") == [5, False]


def test_also_from_a_cell_with_input_and_display(kernel: KernelDriver) -> None:
    run = kernel.run("%%unshare --uts --return a\ndisplay(1)\na = input('? ')", stdin=["x"])
    run.raise_error()
    assert value(kernel, "a") == "x"


FORGE = """\
import os, struct, json
def say(kind, **data):
    text = json.dumps({'kind': kind, **data}).encode()
    os.write(channel, struct.pack('!II', len(text), 0) + text)
channel = next(n for n in map(int, os.listdir('/proc/self/fd'))
               if os.path.lexists(f'/proc/self/fd/{n}')
               and os.readlink(f'/proc/self/fd/{n}').startswith('socket:'))
"""


@pytest.mark.parametrize(
    "forged",
    [
        "os.write(channel, b'garbage that is no frame at all')",
        "say('publish', msg_type='status', content={'execution_state': 'idle'}, metadata={})",
        "say('publish', msg_type='execute_reply', content={}, metadata={})",
        "say('nonsense')",
        "say('ready', spent=[])",
        "say('end', error={'ename': 5})",
        "say('value', name=[], tree=1)",
    ],
)
def test_a_cell_that_forges_frames_is_ended(kernel: KernelDriver, forged: str) -> None:
    run = kernel.run(f"%%unshare --uts\n{FORGE}{forged}\nimport signal\nsignal.pause()")
    assert (run.error or {})["ename"] == "ChannelError"
    assert len(run.error["traceback"]) < 4  # type: ignore[index]
    assert value(kernel, "open.__module__") in {"io", "_io"}


@pytest.mark.parametrize("name", ["asked", "other"])
def test_a_cell_that_forges_a_pickle_runs_nothing_here(
    kernel: KernelDriver, name: str, tmp_path: Path
) -> None:
    """`x = 5` would come as plain data; the cell sends a program in its place."""
    flag = tmp_path / "ran"
    forged = (
        f"import pickle\nclass R:\n    def __reduce__(self): return os.mkdir, ({str(flag)!r},)\n"
        "data = pickle.dumps(R())\ntext = json.dumps({'kind': 'value', "
        f"'name': {name!r}, 'tree': {{'pickle': True}}}}).encode()\n"
        "head = struct.pack('!IIQ', len(text), 1, len(data))\n"
        "os.write(channel, head + text + data)\nsay('end', error=None, payload=[])\nos._exit(0)"
    )
    run = kernel.run(f"%%unshare --uts --return asked\n{FORGE}{forged}")
    assert not flag.exists()
    expected = "CellFailed" if name == "asked" else "ChannelError"
    assert (run.error or {})["ename"] == expected
    assert value(kernel, "6 * 7") == 42
