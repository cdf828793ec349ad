"""What the installed server stands on: the versions that the images pin, and everybody's licence.

    python -m release.dependencies

writes `docker/requirements.txt`, `docker/torch.txt` and `docs/licences.md` from the environment
that it runs in.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
#: torch has an index of its own for builds without CUDA; what it needs of NVIDIA it pins itself.
_TORCH = ("torch", "torchvision")
_CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")
#: Where a package's own metadata names no licence, or hides it in a text: what its repository says.
_KNOWN = {
    "cuda-bindings": "NVIDIA Software License (comes with CUDA builds of torch)",
    "cuda-toolkit": "NVIDIA Software License (comes with CUDA builds of torch)",
}
#: LGPL is a library's licence and allowed; GPL and AGPL bind what uses them.
_FORBIDDEN = re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|(?<!Lesser )General Public", re.IGNORECASE)


def closure(
    name: str = "dineuro", extras: frozenset[str] = frozenset({"server"})
) -> list[Distribution]:
    """Every distribution that `name` with its extras needs here, itself left out, by name.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    left = [(name, extra) for extra in ("", *extras)]
    while left:
        current, extra = left.pop()
        if (current, extra) in seen:
            continue
        seen.add((current, extra))
        found[current] = distribution(current)
        for line in found[current].requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(wanted.name), e) for e in ("", *wanted.extras)]
    del found[canonicalize_name(name)]
    return [found[key] for key in sorted(found)]


def licence(package: Distribution) -> str:
    """What a distribution says of its licence: SPDX, else its classifiers, else its text."""
    told = package.metadata
    name = canonicalize_name(told["Name"])
    if name in _KNOWN:
        return _KNOWN[name]
    if told["License-Expression"]:
        return str(told["License-Expression"])
    classifiers = told.get_all("Classifier") or ()
    classes = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    named = [c for c in classes if c != "OSI Approved"]
    if named:
        return ", ".join(named)
    if name.startswith("nvidia-"):
        return "NVIDIA Software License (comes with CUDA builds of torch)"
    lines = str(told["License"] or "").strip().splitlines()
    return lines[0] if lines else "not stated"


def is_forbidden(text: str) -> bool:
    """Whether a licence may not stand in what is run: the GPL, the AGPL, or none at all."""
    return text == "not stated" or bool(_FORBIDDEN.search(text))


_HEAD = """# Licences of the dependencies

`python -m release.dependencies` writes this table.
It lists every package that `pip install 'dineuro[server]'` installs.
A test keeps the table complete and free of the GPL.
The page at `/` contains three.js (MIT).
The plugin for Vaa3D is linked dynamically to libzmq and Qt.
It contains cppzmq and nlohmann-json (both MIT).

| package | licence |
|---|---|
"""


def main() -> None:
    """Write the three files."""
    packages = [(canonicalize_name(p.metadata["Name"]), p) for p in closure()]
    head = "# The versions that the images have, made by `python -m release.dependencies`.\n"
    pins = {str(name): f"{name}=={package.version.split('+')[0]}\n" for name, package in packages}
    own = [name for name in pins if name not in _TORCH and not _CUDA.match(name)]
    (ROOT / "docker" / "torch.txt").write_text(head + "".join(pins[name] for name in _TORCH))
    (ROOT / "docker" / "requirements.txt").write_text(head + "".join(pins[name] for name in own))
    rows = "".join(f"| {name} | {licence(package)} |\n" for name, package in packages)
    (ROOT / "docs" / "licences.md").write_text(_HEAD + rows)


if __name__ == "__main__":
    main()
