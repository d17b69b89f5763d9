"""A phone: the bundle in a bare Python, the example script as it is pasted, and apps in the background."""
