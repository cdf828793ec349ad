"""The lab's server from Python: a volume in, tree, mask and report out.

    from dineuro_bridge.client import Client

    with Client("tcp://lab:5599") as client:          # or http://lab:8000
        result = client.trace("neuron.tif", threshold=100)
    print(result.tree.length, result.report["warnings"])

Needs no torch. `AsyncClient` is the same with `await`.
"""

from dineuro_bridge.client.client import AsyncClient, Client
from dineuro_bridge.client.transport import Job, TraceResult

__all__ = ["AsyncClient", "Client", "Job", "TraceResult"]
