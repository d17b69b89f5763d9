"""A whole fog in virtual time: the same cores, among machines, links and brokers that fail by a plan and a seed."""
