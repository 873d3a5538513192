"""How good images are: features of them, statistics of features, distances between statistics."""
