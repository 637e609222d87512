# What this CPU and its operating system support. Compiled at the platform's floor, so that asking is always safe.

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    /* The compiler's own check reads cpuid and xgetbv: AVX counts only where the system saves its registers. */
    static int xentc_supports(int level) {
        __builtin_cpu_init();
        int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                 __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx");
        if (level == 3) return v3;
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    static int xentc_is_amd(void) {
        __builtin_cpu_init();
        return __builtin_cpu_is("amd");
    }
    #else
    static int xentc_supports(int level) { (void)level; return 0; }
    static int xentc_is_amd(void) { return 0; }
    #endif
    """
    int xentc_supports(int level) nogil
    int xentc_is_amd() nogil


def supports(str isa):
    """Whether this machine can run the kernels of an ISA by name."""
    if isa == "baseline":
        return True
    if isa == "x86_v3":
        return bool(xentc_supports(3))
    if isa == "x86_v4":
        return bool(xentc_supports(4))
    return False


def is_amd():
    """Whether AMD made this CPU. No result depends on it."""
    return bool(xentc_is_amd())
