"""The Python client of a server: it sends a volume and returns tree, mask and report.

    from dineuro_bridge.client import Client

    with Client("tcp://lab:5599") as client:          # or http://lab:8000
        result = client.trace("neuron.tif", threshold=100)
    print(result.tree.length, result.report["warnings"])

The client needs no torch. `AsyncClient` has the same methods, to be used with `await`.
"""

from dineuro_bridge.client.asynchronous import AsyncClient
from dineuro_bridge.client.client import Client
from dineuro_bridge.client.jobs import TreeEdits
from dineuro_bridge.client.transport import Job, TraceResult

__all__ = ["AsyncClient", "Client", "Job", "TraceResult", "TreeEdits"]
