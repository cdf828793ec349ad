"""Files in, files out: inputs, the parts of a result, and how each is written."""
