"""Trace a stack on the lab's server; this computer needs neither a GPU nor the full install.

python examples/use_server.py tcp://127.0.0.1:5599 demo/neuron.tif

`dineuro serve` starts a server. Clients on other computers need CURVE keys or a token:
`Client(address, key=..., server_key=...)`, see docs/operating.md.
"""

import sys
from pathlib import Path

import dineuro
from dineuro_bridge.progress import Progress


def main(address: str, stack: Path) -> None:
    """Send a stack, print the stages while the server works, and write the results."""
    stages: list[str] = []

    def show(step: Progress) -> None:
        if step.stage not in stages:
            stages.append(step.stage)
            print("stage:", step.stage)

    with dineuro.Client(address) as client:
        result = client.trace(stack, progress=show)
    dineuro.write_swc(stack.with_name(f"{stack.stem}_tree.swc"), result.tree)
    stack.with_name(f"{stack.stem}_doubts.marker").write_text(result.doubts)
    print(f"job {result.job}: {result.tree.length:.0f} voxels of neurite")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
