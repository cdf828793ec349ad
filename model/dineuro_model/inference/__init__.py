"""Volume -> probability with a network, tile by tile."""
