"""Trees and the files that hold them: SWC, ESWC, markers, linker files."""
