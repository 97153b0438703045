"""Inputs of the EditGAN page, paintings made from test portraits by image filters, and results."""
