"""The pages of the app: user-interface values only, no tensors and no torch import."""

from demos import environment

environment.settle()  # before any page imports Gradio
