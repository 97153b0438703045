"""Stored results of the MM2Latent page."""
