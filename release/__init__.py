"""What a release is made and checked with; not installed with the packages."""
