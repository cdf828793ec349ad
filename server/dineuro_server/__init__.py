"""The lab's server: doors, workers, jobs, access, operation."""
