"""The shared vocabulary: what crosses the network, and nothing else. Bytes become dataclasses in ``codec`` alone."""
