"""Tables of labels: their rows, and what the values mean."""
