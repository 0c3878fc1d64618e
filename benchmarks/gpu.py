"""What Thalweg does on one accelerator, in under eight minutes: ``python benchmarks/gpu.py --out FOLDER``.

Correctness first, then speed, then a short training. Every measurement is written down as soon as it is made,
so that a run which is cut off leaves what it had. ``--device cpu`` rehearses all of it at tiny sizes.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does, before torch is imported

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from benchmarks.gpu.checkout import make_importable

if __name__ == "__main__":
    make_importable(ROOT)
    from benchmarks.gpu.command import main

    sys.exit(main())
