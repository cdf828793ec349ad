"""The ZeroMQ door: protocol DNP1 in front of the engine. See `docs/protocol.md`."""
