"""The LSP server: what editors see of BEAST MODE. It reaches the daemon through its client alone."""
