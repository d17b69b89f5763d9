"""Every decision of fogsdk, and no I/O: ``handle(event, now)`` returns commands, ``deadline()`` says when to come back.

``now`` is an integer of milliseconds that the shell hands in; ids and chance come from outside too. What arrives from
the network never raises here: an exception out of the core is a bug of ours.
"""
