"""`%nsmagic doctor` in a real kernel."""

from __future__ import annotations

import pytest

from tests.support import sandboxes
from tests.support.kernel_driver import KernelDriver
from tests.support.skips import needs


@pytest.mark.linux
@needs(sandboxes.sandboxes_work)
def test_the_card_tells_what_the_kernel_itself_may_do() -> None:
    with KernelDriver(prefix=sandboxes.docker_default([])) as kernel:
        shown = kernel.run("%nsmagic doctor", raise_error=True).result
        assert shown is not None
        assert "forbids new namespaces" in shown["text/plain"]
        assert "\x1b" not in shown["text/plain"]
        assert shown["text/html"].startswith('<div class="nsmagic-table ')
        assert "seccomp=unconfined" in shown["text/html"]
        wrong = kernel.run("%nsmagic doctor now")
        assert "takes no words" in wrong.stderr
