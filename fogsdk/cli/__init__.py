"""The ``fog`` command line: run tasks, see who is there, watch, measure and find what is wrong."""
