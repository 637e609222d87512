# The kernels for baseline: see setup.py for its flags, core.pxi for everything else.
include "core.pxi"
