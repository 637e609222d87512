# The kernels for x86_v4: see setup.py for its flags, core.pxi for everything else.
include "core.pxi"
