"""Who may come in: bearer tokens and CURVE keys."""
