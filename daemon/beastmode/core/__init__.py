"""What the daemon needs everywhere: words, errors, settings, places, time, plugins, journals."""
