"""Stored answers: the key, the tiers in memory and on disk, and identical requests in flight."""
