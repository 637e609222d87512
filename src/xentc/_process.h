/* What the process and its threads share with others: the fork flag, and the floating-point mode. */
#ifndef XENTC_PROCESS_H
#define XENTC_PROCESS_H

/* Set in a child whose parent had run a team (see _threads.py). An at-fork handler also sees forks made in C. */
static volatile int team_has_run = 0;
static volatile int forked_after_team = 0;

#if !defined(_WIN32)
#include <pthread.h>
static void after_fork_in_child(void) {
    if (team_has_run) forked_after_team = 1;
}
static inline int install_fork_flag(void) { return pthread_atfork(NULL, NULL, after_fork_in_child); }
#else
static inline int install_fork_flag(void) { return 0; }
#endif

/* Another library may have switched subnormals off, or changed the rounding, for this thread: results must not depend
 * on who was imported before. The mode is a thread's own, so every thread of a team saves, sets and restores it. */
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int FloatMode;
static inline FloatMode standard_float_mode(void) {
    FloatMode before = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return before;
}
static inline void restore_float_mode(FloatMode before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
#include <stdint.h>
typedef uint64_t FloatMode;
static inline FloatMode standard_float_mode(void) {
    FloatMode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
}
static inline void restore_float_mode(FloatMode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int FloatMode;
static inline FloatMode standard_float_mode(void) { return 0; }
static inline void restore_float_mode(FloatMode before) { (void)before; }
#endif

#if defined(_OPENMP)
#include <omp.h>
static inline int openmp_max_threads(void) { return omp_get_max_threads(); }
static inline int openmp_team_size(void) { return omp_get_num_threads(); }
static inline int openmp_version(void) { return _OPENMP; }
#else
static inline int openmp_max_threads(void) { return 1; }
static inline int openmp_team_size(void) { return 1; }
static inline int openmp_version(void) { return 0; }
#endif

#endif
