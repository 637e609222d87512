/* What this CPU and its operating system support, and a gate before kernels that need more. */
#ifndef XENTC_CPU_H
#define XENTC_CPU_H

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))

/* The platform's floor whatever this file is compiled for, so that asking is always safe; inlined, it would be no more. */
#define AT_THE_FLOOR __attribute__((noinline, target("arch=x86-64")))

/* Level 2 is baseline, 3 x86_v3, 4 x86_v4. The compiler's own check reads cpuid and xgetbv: AVX counts only where the
 * system saves its registers. */
AT_THE_FLOOR static int cpu_supports(int level) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return 0;
    if (level == 2) return 1;
    if (!__builtin_cpu_supports("avx") || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
        return 0;
    if (level == 3) return 1;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* Cython's initialisation of a module is compiled for the kernels' ISA, too: on a lesser CPU it is an illegal
 * instruction, and whoever imports all of a package's modules (a type checker, pydoc) is ended by it. So the check
 * stands before it, in PyInit, and what Cython calls there is looked at first. */
#if defined(__AVX512VL__)
#define COMPILED_FOR 4
#elif defined(__AVX2__)
#define COMPILED_FOR 3
#elif defined(__SSE4_2__)
#define COMPILED_FOR 2
#endif

#if defined(COMPILED_FOR) && defined(PyModuleDef_Init)
#error "PyModuleDef_Init is a macro already"
#elif defined(COMPILED_FOR)
AT_THE_FLOOR static PyObject *refuse_this_cpu(void) {
    PyErr_SetString(PyExc_ImportError, "this CPU lacks instructions that these kernels of xentc are compiled for");
    return NULL;
}
#define PyModuleDef_Init(module) (cpu_supports(COMPILED_FOR) ? PyModuleDef_Init(module) : refuse_this_cpu())
#endif

#else
static inline int cpu_supports(int level) { return level == 2; }
#endif
#endif
