"""The kernel "Container Lab (Python)": IPython's own, with the magics loaded and help at hand.

`ipykernel_launcher --IPKernelApp.kernel_class=nsmagic.notebook.kernel.ContainerLabKernel` starts
it: that launcher keeps the notebook's folder from shadowing the modules that a kernel needs.
"""

from __future__ import annotations

from typing import Any, Final

from ipykernel.ipkernel import IPythonKernel
from IPython.core.error import UsageError
from traitlets import default

# Front ends show these in their Help menu.  The labs are not among them: JupyterLab (4.6) opens a
# link in a sandboxed frame without a referrer, and to that jupyter_server refuses its own pages, a
# lab rendered by nbconvert too (403, "Blocking request from unknown origin").
_MANUALS: Final = {
    "namespaces(7)": "https://man7.org/linux/man-pages/man7/namespaces.7.html",
    "unshare(1)": "https://man7.org/linux/man-pages/man1/unshare.1.html",
    "nsenter(1)": "https://man7.org/linux/man-pages/man1/nsenter.1.html",
    "chroot(1)": "https://man7.org/linux/man-pages/man1/chroot.1.html",
    "cgroups(7)": "https://man7.org/linux/man-pages/man7/cgroups.7.html",
    "Control group v2": "https://docs.kernel.org/admin-guide/cgroup-v2.html",
}
_INHERITED: Final = ("Python Reference", "IPython Reference")


class ContainerLabKernel(IPythonKernel):
    """An IPython kernel that begins with `%load_ext nsmagic`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        try:
            shell: Any = self.shell
            shell.extension_manager.load_extension("nsmagic")
        except UsageError as problem:  # not Linux: a Python kernel all the same
            self.log.warning("The magics are not loaded: %s", problem)

    @default("help_links")
    def _links(self) -> list[dict[str, str]]:
        ours = [{"text": text, "url": url} for text, url in _MANUALS.items()]
        theirs = IPythonKernel.help_links.default() or []
        return ours + [link for link in theirs if link["text"] in _INHERITED]
