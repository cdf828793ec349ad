"""The dependencies of the installed server: pinned versions with hashes, and licences.

    python -m release.dependencies

This command writes the requirements and `torch.txt` in `docker/`, and `docs/licences.md`. The
versions are those of the environment that runs it. The hashes come from PyPI, through pip.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
#: The image for GPUs alone has torch, which itself pins the NVIDIA packages it needs.
_TORCH = ("torch", "torchvision")
_CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")
#: Builds the project's wheel inside the image.
_BUILD = ("setuptools",)
#: Python and machines of the images: Debian 12.
_PYTHON = "3.11"
_MACHINES = ("x86_64", "aarch64")
_GLIBC = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
#: The extras of the image for CPUs, and those of the image for GPUs.
CPU, CUDA = frozenset({"cpu", "brain"}), frozenset({"server", "brain"})
#: The extras that the images do not contain, with that which they build on.
OPTIONAL = CUDA | {"imaris", "microscopes", "stores"}
#: Licences of packages whose metadata states none, or only as a text; from their repositories.
_KNOWN = {
    "cuda-bindings": "NVIDIA Software License (comes with CUDA builds of torch)",
    "cuda-toolkit": "NVIDIA Software License (comes with CUDA builds of torch)",
}
#: The GPL and the AGPL bind the programs that use a library; the LGPL does not.
_FORBIDDEN = re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|(?<!Lesser )General Public", re.IGNORECASE)


def closure(name: str = "dineuro", extras: frozenset[str] = CUDA) -> list[Distribution]:
    """Return all distributions that `name` with its extras needs here, sorted by name.

    `name` itself is not in the list.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    distributions: dict[str, Distribution] = {}
    visits: set[tuple[str, str]] = set()
    queue = [(name, extra) for extra in ("", *extras)]
    while queue:
        current, extra = queue.pop()
        if (current, extra) in visits:
            continue
        visits.add((current, extra))
        distributions[current] = distribution(current)
        for line in distributions[current].requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(need.name), e) for e in ("", *need.extras)]
    del distributions[canonicalize_name(name)]
    return [distributions[key] for key in sorted(distributions)]


def licence(package: Distribution) -> str:
    """Return a distribution's licence: its SPDX expression, else its classifiers, else its text."""
    metadata = package.metadata
    name = canonicalize_name(metadata["Name"])
    if name in _KNOWN:
        return _KNOWN[name]
    # `importlib_metadata`, which Dask imports, raises for a field that is missing.
    if "License-Expression" in metadata:
        return str(metadata["License-Expression"])
    classifiers = metadata.get_all("Classifier") or ()
    classes = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    names = [c for c in classes if c != "OSI Approved"]
    if names:
        return ", ".join(names)
    if name.startswith("nvidia-"):
        return "NVIDIA Software License (comes with CUDA builds of torch)"
    stated = str(metadata["License"]) if "License" in metadata else ""
    lines = stated.strip().splitlines()
    return lines[0] if lines else "not stated"


def is_forbidden(text: str) -> bool:
    """Whether a licence is forbidden at run time: the GPL, the AGPL, or none stated."""
    return text == "not stated" or bool(_FORBIDDEN.search(text))


def hashes(pins: Sequence[str]) -> dict[str, list[str]]:
    """Return the SHA-256 of the wheels on PyPI that pip installs in the images, by package name.

    Args:
        pins: requirements of the form `name==version`.

    Raises:
        CalledProcessError: PyPI cannot be reached, or has no wheel for one of the machines.
    """
    digests: defaultdict[str, set[str]] = defaultdict(set)
    # No other index and no local folder: their wheels may differ from those on PyPI.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_FIND", "PIP_EX"))}
    for machine in _MACHINES:
        platforms = [f"--platform=manylinux_{glibc}_{machine}" for glibc in _GLIBC]
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            subprocess.run(
                [
                    sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps",
                    "--ignore-installed", "--only-binary=:all:", f"--python-version={_PYTHON}",
                    *platforms, f"--platform=linux_{machine}", f"--target={folder}",
                    "--index-url=https://pypi.org/simple", f"--report={report}", *pins,
                ],
                check=True, env=environment | {"PIP_CONFIG_FILE": os.devnull},
            )  # fmt: skip
            for item in json.loads(report.read_text())["install"]:
                name = canonicalize_name(item["metadata"]["name"])
                digests[name].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    return {name: sorted(values) for name, values in digests.items()}


_HEAD = """# Licences of the dependencies

`python -m release.dependencies` writes this table.
It lists every package that `pip install 'dineuro[server,brain]'` installs, and the image for GPUs.
`pip install 'dineuro[cpu,brain]'` installs those whose second column is empty.
A test keeps the table complete and free of the GPL.
The page at `/` contains three.js (MIT).
The plugin for Vaa3D is linked dynamically to libzmq and Qt.
It contains cppzmq and nlohmann-json (both MIT).
The plugin for napari needs napari and npe2 (both BSD-3-Clause), but no binding of Qt.
A test keeps the GPL out of what napari needs.

| package | only with torch | licence |
|---|---|---|
"""
_ADDED = """
`pip install 'dineuro[imaris,microscopes,stores]'` adds these; the images do not contain them.

| package | licence |
|---|---|
"""


def _by_name(packages: Sequence[Distribution]) -> dict[str, Distribution]:
    """Distributions by their canonical names."""
    return {canonicalize_name(package.metadata["Name"]): package for package in packages}


def main() -> None:
    """Write the four files."""
    all_of_them = _by_name(closure())
    cpu = _by_name(closure(extras=CPU))
    rows = "".join(
        f"| {name} | {'' if name in cpu else 'yes'} | {licence(package)} |\n"
        for name, package in all_of_them.items()
    )
    added = "".join(
        f"| {name} | {licence(package)} |\n"
        for name, package in _by_name(closure(extras=OPTIONAL)).items()
        if name not in all_of_them
    )
    (ROOT / "docs" / "licences.md").write_text(_HEAD + rows + _ADDED + added)
    packages = all_of_them | _by_name([distribution(name) for name in _BUILD])
    pins = {name: f"{name}=={p.version.split('+')[0]}" for name, p in sorted(packages.items())}
    head = "# Versions in the images, written by `python -m release.dependencies`.\n"
    torch = "".join(f"{pins[canonicalize_name(name)]}\n" for name in _TORCH)
    (ROOT / "docker" / "torch.txt").write_text(head + torch)
    own = [name for name in pins if name not in _TORCH and not _CUDA.match(name)]
    digests = hashes([pins[name] for name in own])
    for file, wanted in (
        ("requirements.txt", {*cpu, *_BUILD}),
        ("requirements-cuda.txt", all_of_them.keys() - cpu.keys() - {*_BUILD}),
    ):
        lines = [
            " \\\n    ".join([pins[n], *(f"--hash=sha256:{d}" for d in digests[n])])
            for n in own
            if n in wanted
        ]
        (ROOT / "docker" / file).write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
