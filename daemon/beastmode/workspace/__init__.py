"""What the daemon knows of the folder a question is about."""
