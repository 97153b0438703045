"""One file a paper, over shared networks; recipes train what ships.

Importing this package decides how the process uses its CPU, in the environment: torch, OpenMP and
numba read it as they load, so that this stands before any import of them. What the user has set
stays.
"""

import os

# Large tensors in large pages: on two CPU cores an optimisation spends a fifth of its time on page
# faults without.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# Threads of GNU OpenMP that wait for each other spin, and so keep a core from the one they wait
# for: beside one other busy process, on two cores, 30 steps of in-domain inversion take 40.8 s in
# place of 2.8. After 3000 turns they sleep: 6.2 s, and 3.1 s on a quiet machine. Sleeping at once
# (OMP_WAIT_POLICY=PASSIVE) gives 4.7 s and 4.8 s.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# The same input gives the same result: MKL divides a product among its threads as they come, so
# that sums come in another order each time, and Adam enlarges that rounding. AUTO divides it the
# same way each time, on as many threads.
os.environ.setdefault("MKL_CBWR", "AUTO")
# The renderer keeps to OpenMP's number of threads, as torch does.
if threads := os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip():
    os.environ.setdefault("NUMBA_NUM_THREADS", threads)
