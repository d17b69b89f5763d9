"""Tests of the benchmarks that hold the project to something."""
