"""Latent spaces z -> w -> w+ -> s, the files that hold latents, and the sources that images are drawn from."""
