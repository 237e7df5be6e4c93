"""The doors: every method once, the Unix socket that carries them, who may knock."""
