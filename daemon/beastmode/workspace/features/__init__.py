"""What `generation.py` makes a feature with: plans, drafts, edits of whatever shape, checks, what is kept."""
