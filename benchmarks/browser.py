"""The time from the click on a job to the picture of 256^3 voxels in a browser.

    python -m benchmarks.browser

Headless Chromium and the real server run on one machine, and the processor draws the picture. The
benchmark needs npm's packages (`make web`) and chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parents[1] / "server" / "web"


def main() -> None:
    """Run the page's own benchmark with the server of this environment."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if shutil.which("node") is None or not (WEB / "node_modules").is_dir():
        sys.exit("needs node and the page's packages: make web")
    server = os.environ.get("DINEURO", str(Path(sys.executable).with_name("dineuro")))
    done = subprocess.run(["node", "bench.mjs"], cwd=WEB, env=os.environ | {"DINEURO": server})
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
