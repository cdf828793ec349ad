"""Volume -> probability: the enhancers, and the rendering of volumes with a known tree."""
