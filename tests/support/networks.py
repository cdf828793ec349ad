"""Networks with random weights whose output depends on every input."""

from __future__ import annotations

import torch

from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network


def sensitive_network(config: NetworkConfig, seed: int) -> Network:
    """A network without the small last weights that a fresh one has."""
    torch.manual_seed(seed)
    network = Network(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("second.weight"):
                parameter.normal_(0, 0.1)
        network.head.bias.zero_()
        network.head.weight *= 4
    return network
