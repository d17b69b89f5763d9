"""The demo: terrain analysis over a real elevation model, with a task of every weight."""
