"""The network as a graph of OpenVINO, built from its stored weights without torch."""
