"""Builds the kernels once per ISA, and the two modules above them.

Switches, from the environment: XENTC_NO_OPENMP=1 (build without threads), XENTC_BASELINE_ONLY=1 (one ISA),
XENTC_WERROR=1 (warnings are errors), XENTC_SANITIZE=1 (AddressSanitizer and UndefinedBehaviorSanitizer),
XENTC_OPTIMIZE=1 (or another level than 3: builds in less than half the time, for what is thrown away).
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64")
MSVC = sys.platform == "win32"

# name -> flags. gcc 12 uses 256-bit vectors for AVX-512 unless it is told otherwise.
ISA = {"baseline": ["-march=x86-64-v2"] if X86 and not MSVC else []}
if X86 and not MSVC and not os.environ.get("XENTC_BASELINE_ONLY"):
    ISA["x86_v3"] = ["-march=x86-64-v3"]
    ISA["x86_v4"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]

# Never any flag of the fast-math family: together they break the magic-number exp, the fixed order of sums and nan,
# and at link time they switch subnormals off for the whole process.
FLAGS = [f"-O{os.environ.get('XENTC_OPTIMIZE') or 3}", "-g0", "-fvisibility=hidden"]
FLAGS += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
if MSVC:
    FLAGS = ["/O2"]
LINK_FLAGS: list[str] = []
# gcc clears 100 bytes by `rep stos` where vectors have 16 or 32 of them, and that is slow to begin: softmax of
# 64 x 1000 takes 0.65 of the time without it. Of the kernels alone, and where the compiler knows these flags.
CLEARING = ["-fno-tree-loop-distribute-patterns", "-mmemset-strategy=vector_loop:1024:noalign,libcall:-1:noalign"]
# A kernel's loop is written once and inlined with a literal that says which loop it is; left to gcc's judgement, a
# change elsewhere in the file can undo that and make the loop four times slower.
ALWAYS_INLINE = [] if MSVC else [("CYTHON_INLINE", "inline __attribute__((always_inline))")]
if os.environ.get("XENTC_WERROR"):
    # Cython's own utility code is not ours to mend: the warnings are those that our code can cause.
    FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-sign-compare"]
    FLAGS += ["-Wno-missing-field-initializers", "-Wno-cast-function-type"]
if os.environ.get("XENTC_SANITIZE"):
    FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g"]
    LINK_FLAGS += ["-fsanitize=address,undefined"]

OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
COMPILER_PROBE = "int main(void) { return 0; }\n"
PACKAGE = Path("src/xentc")
KERNELS = PACKAGE / "_kernels"


def extensions():
    def included(*patterns):
        return sorted(str(path) for pattern in patterns for path in PACKAGE.glob(pattern))

    kernel_parts = included("_kernels/*.pxi", "_kernels/*.pxd", "_kernels/*.h")
    call_parts = included("*.pxd", "*.h", "_calls/*.pxi", "_kernels/*.pxd")
    numpy_options = {
        "include_dirs": [numpy.get_include()],
        "define_macros": [
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
        ],
    }

    def extension(name, flags=(), **options):
        source = "src/" + name.replace(".", "/") + ".pyx"
        return Extension(
            name,
            [source],
            depends=kernel_parts if "_kernels" in name else call_parts,
            extra_compile_args=[*FLAGS, *flags],
            extra_link_args=list(LINK_FLAGS),
            **options,
        )

    kernels = [
        extension(f"xentc._kernels.{isa}", flags, include_dirs=[str(KERNELS)], define_macros=ALWAYS_INLINE)
        for isa, flags in ISA.items()
    ]
    above = [extension(f"xentc.{name}", **numpy_options) for name in ("_engine", "_arrays", "_arguments")]
    return [extension("xentc._kernels.cpu"), *kernels, *above]


class BuildExt(build_ext):
    """Adds OpenMP to the engine, which is the only module that uses it, where a program with it compiles and runs."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:  # the kernels of each ISA are a file of their own, and take most of the time
            self.parallel = os.cpu_count()

    def build_extensions(self):
        self.require_compiler()
        openmp = self.openmp_flags()
        clearing = [flag for flag in CLEARING if not MSVC and self.runs(COMPILER_PROBE, ["-Werror", flag])]
        for extension in self.extensions:
            if extension.name == "xentc._engine":
                extension.extra_compile_args += openmp
                extension.extra_link_args += openmp
            elif "_kernels" in extension.name:
                extension.extra_compile_args += clearing
        super().build_extensions()

    def require_compiler(self):
        if not self.runs(COMPILER_PROBE, []):
            raise SystemExit(
                f"xentc is built from source and needs a working C compiler (gcc or clang): {self.compiler_name()!r} "
                "could not compile a one-line program. Install one (on Debian: apt-get install gcc), or set CC."
            )

    def openmp_flags(self):
        if os.environ.get("XENTC_NO_OPENMP"):
            return []
        candidates = [["/openmp"]] if MSVC else [["-fopenmp"], ["-Xpreprocessor", "-fopenmp", "-lomp"]]
        for flags in candidates:
            if self.runs(OPENMP_PROBE, flags):
                return flags
        print("xentc: no working OpenMP found, building without threads", file=sys.stderr)
        return []

    def compiler_name(self):
        return getattr(self.compiler, "compiler", ["cc"])[0]

    def runs(self, program, flags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=flags)
                return subprocess.run([str(Path(folder, "probe"))], check=False).returncode == 0
            except Exception:  # distutils and its compilers raise a dozen unrelated classes here
                return False


if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            extensions(),
            include_path=["src"],
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "embedsignature": True,
            },
        ),
        cmdclass={"build_ext": BuildExt},
    )
