"""Python bodies in a root that has no Python: shown, drawn and explained as in any cell."""

from __future__ import annotations

import base64
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.kernel_driver import KernelDriver
from tests.support.skips import root_only


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An almost empty root, with a module that must not be imported by accident."""
    trap = tmp_path / "root" / "usr/lib/python3"
    trap.mkdir(parents=True)
    (trap / "wave.py").write_text("raise SystemExit('of the other root')")
    return tmp_path / "root"


@pytest.fixture(scope="module")
def drawing() -> Generator[KernelDriver]:
    with KernelDriver() as driver:
        driver.run("import sys; sys.path.insert(0, '/usr/lib/python3')").raise_error()
        driver.run("import matplotlib.pyplot as plt\ndef f(x):\n    return 1 / x").raise_error()
        driver.run("%%unshare --uts\nplt.plot([1])").raise_error()
        yield driver


@root_only
@pytest.mark.linux
class TestOtherRoot:
    def test_the_root_is_another(self, drawing: KernelDriver, root: Path) -> None:
        run = drawing.run(f"%%unshare --root {root}\nimport os\nprint(os.stat('/').st_ino)")
        run.raise_error()
        assert run.stdout == f"{root.stat().st_ino}\n"

    def test_a_plot_with_mathematics_arrives(self, drawing: KernelDriver, root: Path) -> None:
        run = drawing.run(
            f"%%unshare --root {root}\n"
            "plt.plot([1, 2])\nplt.title('title $x^2$', fontsize=17)\nplt.show()"
        )
        run.raise_error()
        pictures = [shown["image/png"] for shown in run.displays if "image/png" in shown]
        assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")
        assert run.stderr == ""

    def test_a_traceback_shows_the_lines_of_earlier_cells(
        self, drawing: KernelDriver, root: Path
    ) -> None:
        error = drawing.run(f"%%unshare --root {root}\nf(0)").error
        assert error is not None
        assert error["ename"] == "ZeroDivisionError"
        assert "x" in "".join(error["traceback"])

    def test_no_module_of_the_other_root_is_imported(
        self, drawing: KernelDriver, root: Path
    ) -> None:
        error = drawing.run(f"%%unshare --root {root}\nimport wave").error
        assert error is not None
        assert error["ename"] == "ModuleNotFoundError"
        assert "--fresh" in "".join(error["traceback"])

    def test_what_was_imported_works(self, drawing: KernelDriver, root: Path) -> None:
        run = drawing.run(f"%%unshare --root {root}\nimport json\njson.dumps({{'ä': 1}})")
        run.raise_error()
        assert run.result == {"text/plain": "'{\"\\\\u00e4\": 1}'"}
