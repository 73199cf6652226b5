"""What the renderers cost and how true they are, beside DeepLens where it is installed.

    python benchmarks/render.py                                            # every table, some five minutes
    python benchmarks/render.py --tables blend pixelwise --kernels-px 25   # some of them
    python benchmarks/render.py --peer-python peers/bin/python             # DeepLens in an environment of its own
    python benchmarks/render.py --help

The tables are in render_report.py. This file bears the name of a package, and the folder of a script that runs is
searched first: a neighbour that imports `render` finds this file, which hands it the package.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(one for one in sys.path if Path(one).resolve() != HERE), str(HERE)]

if __name__ == "__main__":
    sys.exit(importlib.import_module("render_report").main())
else:
    del sys.modules[__name__]
    sys.modules[__name__] = importlib.import_module(__name__)
