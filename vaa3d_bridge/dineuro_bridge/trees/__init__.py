"""Trees and their files: SWC, ESWC, markers and linker files."""
