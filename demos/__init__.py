"""The pages of the app: user-interface values only, no tensors and no torch import."""
