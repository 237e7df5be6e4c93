"""BEAST MODE: the local daemon between a developer's tools and every language model they use."""

__version__ = "0.1.0"
