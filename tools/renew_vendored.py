"""Renew the JavaScript that the wheel carries: `python tools/renew_vendored.py` (needs npm).

Raise a version in `PACKAGES`, run it, look at the widgets, commit.  Nothing here runs at build or
install time: what is vendored lies in the repository as npm has it.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "nsmagic" / "widgets" / "static" / "vendor"
# Package and version -> file in the package -> file here.
PACKAGES = {
    # Charts on canvas: 50 kB, no dependencies, redraws thousands of points in a millisecond.
    "uplot@1.6.32": {
        "dist/uPlot.iife.min.js": "uplot.js",
        "dist/uPlot.min.css": "uplot.css",
        "LICENSE": "uplot.LICENSE",
    },
    # The terminal that JupyterLab and VS Code use.
    "@xterm/xterm@6.0.0": {
        "lib/xterm.mjs": "xterm.mjs",
        "css/xterm.css": "xterm.css",
        "LICENSE": "xterm.LICENSE",
    },
    "@xterm/addon-fit@0.11.0": {
        "lib/addon-fit.mjs": "addon-fit.mjs",
        "LICENSE": "addon-fit.LICENSE",
    },
}
NO_MAP = b"//# sourceMappingURL="  # its map is not here, and a browser would ask for it


def main() -> None:
    """Fetch every package and write its files and the list of what is where."""
    lines = []
    for package, files in PACKAGES.items():
        found = fetch(package)
        for inside, name in files.items():
            (VENDOR / name).write_bytes(without_map(found[f"package/{inside}"]))
        lines.append(f"{package}: {', '.join(files.values())}\n")
    (VENDOR / "VERSIONS").write_text("".join(lines))


def fetch(package: str) -> dict[str, bytes]:
    """Return the files of an npm package by their path in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
        subprocess.run(command, check=True, capture_output=True)
        archive = io.BytesIO(next(Path(folder).iterdir()).read_bytes())
    with tarfile.open(fileobj=archive) as opened:
        files = {member.name: opened.extractfile(member) for member in opened if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def without_map(content: bytes) -> bytes:
    """Leave out the line that names a source map."""
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(NO_MAP))


if __name__ == "__main__":
    main()
