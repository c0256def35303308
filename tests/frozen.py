"""The last module that the server of `apart` imports: its processes need not collect what is there.

To go through it takes a process a third of a second, and makes it copy the memory that it shares.
"""

import gc

gc.collect()
gc.freeze()
