/* Copies past the caches, and the prefetch. A gradient larger than the caches would be read into them only to be
 * overwritten; a non-temporal store saves that read: 8 bytes of traffic a logit instead of 12. */
#ifndef XENTC_STREAM_H
#define XENTC_STREAM_H

#include <stdint.h>
#include <string.h>

#define LINE_BYTES 64

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define XENTC_STREAM 1
#endif

#if defined(__AVX512F__)
#define STREAM_BYTES 64
#define STREAM_ONE(to, from) _mm512_stream_si512((void *)(to), _mm512_loadu_si512((const void *)(from)))
#elif defined(__AVX__)
#define STREAM_BYTES 32
#define STREAM_ONE(to, from) _mm256_stream_si256((__m256i *)(to), _mm256_loadu_si256((const __m256i *)(from)))
#elif defined(XENTC_STREAM)
#define STREAM_BYTES 16
#define STREAM_ONE(to, from) _mm_stream_si128((__m128i *)(to), _mm_loadu_si128((const __m128i *)(from)))
#endif

static inline void stream_copy(char *to, const char *from, size_t n_bytes) {
#if defined(XENTC_STREAM)
    size_t head = (size_t)(-(intptr_t)to) & (STREAM_BYTES - 1);
    if (head > n_bytes) head = n_bytes;
    memcpy(to, from, head);
    to += head, from += head, n_bytes -= head;
    for (; n_bytes >= STREAM_BYTES; n_bytes -= STREAM_BYTES, to += STREAM_BYTES, from += STREAM_BYTES)
        STREAM_ONE(to, from);
#endif
    memcpy(to, from, n_bytes);
}

/* n_bytes, a multiple of STREAM_BYTES, to an address that is one too: the terms of a loop, as they come out of it. A copy
 * behind the loop would wait for memory, and the loop for the copy. */
static inline void stream_terms(char *to, const void *from, size_t n_bytes) {
#if defined(XENTC_STREAM)
    for (size_t i = 0; i < n_bytes; i += STREAM_BYTES) STREAM_ONE(to + i, (const char *)from + i);
#else
    memcpy(to, from, n_bytes);
#endif
}

/* Bytes from an address to the next line of a cache. */
static inline size_t line_ahead(const char *to) { return (size_t)(-(intptr_t)to) % LINE_BYTES; }

/* Streamed stores are weakly ordered: fence before another thread may read them. No test would see it missing, as what
 * ends a parallel region orders them, too. */
static inline void stream_fence(void) {
#if defined(XENTC_STREAM)
    _mm_sfence();
#endif
}

static inline void prefetch(const char *address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

/* Of a long read, in two steps: the arithmetic keeps the core's own prefetcher from it. From memory into the second-level
 * cache well ahead, and from there into the first a little ahead. On a Zen 4 rows of 1000 classes are read 1.3 times as
 * fast so as by one step of 16 KiB into the first level, half of which that is, and long ones 1.1 times. */
#define FAR_BYTES 16384
#define NEAR_BYTES 4096
static inline void prefetch_far(const char *address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address, 0, 2);
#else
    (void)address;
#endif
}

static inline void prefetch_ahead(const char *reading) {
    prefetch_far(reading + FAR_BYTES);
    prefetch(reading + NEAR_BYTES);
}

/* One of two reads side by side, which share the first-level cache, and its sets where they lie whole pages apart: half as
 * far. Element-wise losses are 1.1 to 1.2 times as fast so. */
static inline void prefetch_beside(const char *reading) {
    prefetch_far(reading + FAR_BYTES / 2);
    prefetch(reading + NEAR_BYTES / 2);
}

#endif
