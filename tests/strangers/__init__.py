"""Programs that know nothing of fogsdk, and use a fog as docs/protocol.md says."""
