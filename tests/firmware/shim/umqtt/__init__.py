"""Stands in for the package of micropython-lib."""
