"""One volume in memory: enhance, trace, report. The pipeline knows no files."""
