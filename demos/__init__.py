"""The pages of the app: user-interface values only, no tensors and no torch import.

`papers.py` lists the papers, each a folder; `home.py` is the first page; the other folders are
rooms that several pages share.
"""

from demos import environment

environment.settle()  # before any page imports Gradio
environment.import_gradio()
