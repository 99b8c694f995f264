"""In the place of a kernel whose box could not be made: fails every cell with the reason."""

from __future__ import annotations

import os
import sys
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

from nsmagic import __version__
from nsmagic.notebook.boxed import TEXT


class RefusedKernel(Kernel):
    """Runs nothing; a restart tries again to make the box."""

    implementation = "nsmagic"
    implementation_version = __version__
    refusal = os.environ.get(TEXT, "")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.language_info = {"name": "text", "mimetype": "text/plain", "file_extension": ".txt"}
        self.banner = self.refusal

    async def do_execute(
        self,
        code: str,  # noqa: ARG002
        silent: bool,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Fail the cell."""
        first, _, rest = self.refusal.partition("\n")
        error = {"ename": "NsmagicError", "evalue": first, "traceback": [first, rest]}
        if not silent:
            self.send_response(self.iopub_socket, "error", error)  # type: ignore[no-untyped-call]
        return {"status": "error", "execution_count": self.execution_count, **error}


if __name__ == "__main__":
    IPKernelApp.launch_instance(sys.argv[1:], kernel_class=RefusedKernel)
