"""Stored results of the page of diffusion-driven inversion."""
