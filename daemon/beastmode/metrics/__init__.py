"""What happened: the ledger of requests, statistics over it, and health."""
