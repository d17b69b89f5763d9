"""The cloud tier: the bridge from a fog site to a core site, and what runs heavy tasks there."""
