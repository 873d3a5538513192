"""Making a store: what from, by which processes, and how it continues after an interruption."""
