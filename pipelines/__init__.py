"""One file a paper, over shared networks; recipes train what ships."""

import os

# Large tensors in large pages: on two CPU cores an optimisation spends a fifth of its time on page
# faults without. torch reads this at its first allocation, so it stands before any import of it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
