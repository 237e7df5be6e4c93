"""The index of open workspaces: a child process reads and watches them, the daemon asks what it wrote."""
