"""Worker processes: one a device, each with a thread that watches it."""
