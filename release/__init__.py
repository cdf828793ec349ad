"""Tools that make and check a release. They are not installed with the packages."""
