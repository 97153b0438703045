"""Stored results of the page of SAM inversion."""
