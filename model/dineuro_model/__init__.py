"""Volume -> probability: networks, other enhancers, training, and synthetic volumes."""
