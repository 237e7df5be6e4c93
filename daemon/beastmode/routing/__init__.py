"""Which model answers: the registry of models, their keys, the order of candidates, retry and fallback."""
