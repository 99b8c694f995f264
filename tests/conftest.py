"""Every test runs in directories of its own and must leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_core.utils import ensure_event_loop

from tests.support import leaks, skips
from tests.support.user import Account, make_account, moved, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from IPython.core.interactiveshell import InteractiveShell
    from nbformat import NotebookNode

    from tests.support.browser import Lab, Server
    from tests.support.kernel_driver import KernelDriver

    OpenNotebook = Callable[..., Lab]

LONG = ("vm", "torture", "browser")  # marks, the longest first
PRIVATE = {
    "HOME": "home",  # an interactive shell reads .bashrc there, Jupyter looks for kernels
    "TMPDIR": "tmp",
    "XDG_RUNTIME_DIR": "run",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "jupyter",
    "JUPYTER_RUNTIME_DIR": "run",
    "MPLCONFIGDIR": "matplotlib",
}


def pytest_configure(config: pytest.Config) -> None:
    """Before anything starts: our mark, and private directories for all that is started."""
    config.addinivalue_line("markers", "needs(*probes): skip with a probe's reason")
    leaks.mark()
    os.umask(0o022)  # an ordinary user reads what root's tests write
    home = Path(tempfile.mkdtemp(prefix="nst-", dir="/tmp"))  # short: sockets are made below it
    config.add_cleanup(lambda: shutil.rmtree(home))
    leaks.own_directories.add(str(home))
    for name, folder in PRIVATE.items():
        (home / folder).mkdir(mode=0o700, exist_ok=True)
        os.environ[name] = str(home / folder)
    tempfile.tempdir = None  # forget the directory it chose before
    # The one loop that jupyter_client keeps for its blocking calls: before anybody counts.
    ensure_event_loop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: a file's tests stay together, and the other workers would wait.

    A page takes its time where others run too, and each wait for it has a limit of its own.
    """
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in LONG])
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ask the probes of `needs`."""
    for marker in item.iter_markers("needs"):
        for probe in marker.args:
            if reason := probe():
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With NSMAGIC_MUST_WORK=1 a skip is a failure unless its reason is on the list."""
    report = yield
    if report.skipped and skips.MUST_WORK and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not skips.allowed(reason):
            report.outcome = "failed"
            report.longrepr = f"NSMAGIC_MUST_WORK=1 and this test was skipped: {reason}"
    return report


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compare before and after: see `leaks.Snapshot` for what is looked at."""
    leaks.own_directories.add(str(tmp_path_factory.getbasetemp()))
    before = leaks.snapshot()
    yield
    if news := leaks.leaked(before):
        leaks.clean_up(news)
        lines = [f"  {kind}: {thing}" for kind, things in news.items() for thing in things]
        pytest.fail("the test left behind\n" + "\n".join(lines), pytrace=False)


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelDriver]:
    """A kernel with nsmagic loaded, shared by a module's tests: leave no variables behind."""
    from tests.support.kernel_driver import KernelDriver

    with KernelDriver() as driver:
        yield driver


@pytest.fixture
def fresh_kernel() -> Iterator[KernelDriver]:
    """A kernel of the test's own, with nsmagic loaded."""
    from tests.support.kernel_driver import KernelDriver

    with KernelDriver() as driver:
        yield driver


@pytest.fixture(scope="session")
def _shell() -> InteractiveShell:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    settings = Config()
    settings.HistoryManager.hist_file = ":memory:"
    settings.HistoryManager.enabled = False  # no thread, no database
    return InteractiveShell.instance(config=settings)


@pytest.fixture
def ip(_shell: InteractiveShell) -> Iterator[InteractiveShell]:
    """A shell in this process, without a kernel, with nsmagic loaded and empty of variables."""
    _shell.run_line_magic("load_ext", "nsmagic")
    yield _shell
    _shell.run_line_magic("unload_ext", "nsmagic")
    _shell.run_line_magic("reset", "-f")


@pytest.fixture(scope="session")
def as_user() -> Iterator[Account]:
    """An ordinary user that can read and run the project: `as_user.run(argv)`."""
    account = make_account()
    leaks.own_directories.add(str(account.home))
    try:
        if reason := account.why_not():
            pytest.skip(reason)
        yield account
    finally:
        remove(account)


@pytest.fixture
def user_alone(as_user: Account) -> Iterator[Account]:
    """That user in a home of this test's own: no other test's kernels, kernelspecs, files."""
    with moved(as_user) as account:
        yield account


@pytest.fixture(scope="module")
def user_kernel(as_user: Account) -> Iterator[KernelDriver]:
    """A kernel that an ordinary user runs, with nsmagic loaded, shared by a module's tests."""
    from tests.support.kernel_driver import KernelDriver

    with KernelDriver(account=as_user) as driver:
        yield driver


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab on an empty folder of notebooks."""
    from tests.support.browser import serve

    root = tmp_path_factory.mktemp("lab") / "notebooks"
    root.mkdir()
    with serve(root) as server:
        yield server


@pytest.fixture
def lab(lab_server: Server, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open notebooks in a browser: `lab(["cell one", "cell two"], theme="dark")`.

    Each leaves a picture tests/artefacts/TEST.png of how it looked at the end.
    """
    from tests.support.browser import FrontEnd, Theme, open_notebook

    with contextlib.ExitStack() as stack:

        def open_it(
            notebook: Sequence[str] | NotebookNode,
            *,
            theme: Theme = "light",
            kernel: str = "python3",
            front: FrontEnd = "lab",
        ) -> Lab:
            name = re.sub(r"\W+", "-", request.node.name).strip("-")
            opened = stack.enter_context(
                open_notebook(
                    lab_server, notebook, name=name, theme=theme, kernel=kernel, front=front
                )
            )
            stack.callback(opened.screenshot)
            return opened

        yield open_it
