"""Tests with real separation: brokers, nodes and a device, each in a network namespace of its own."""
