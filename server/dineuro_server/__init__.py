"""The top of the house: the command line, and the pipeline that joins network, tracer and files."""
