"""What is counted for each task, on a real broker, node and device: figures that a noisy machine leaves alone."""
