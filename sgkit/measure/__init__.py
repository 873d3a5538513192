"""Comparing a model, a store or a folder of images with another: inputs, cached statistics, results."""
