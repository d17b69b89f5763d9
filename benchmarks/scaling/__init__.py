"""What grows with the size of a site, and what does not: the measurements behind docs/scale.md."""
