"""Wire formats: the bytes of a protocol on one side, the words of `core.types` on the other; no policy."""
