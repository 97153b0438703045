"""Inputs and stored results of the in-domain page."""
