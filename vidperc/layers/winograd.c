/* Winograd's convolution F(4x4) for CPUs with AVX-512, as fast_conv.py describes it to `winograd_conv_*`.

   Maps have their channels last. Points are 0, A, -A, infinity, B, -B in this order: with r taps an axis takes the
   first r + 3. A thread takes a block of tiles through all: inputs to points, a matrix product for each point,
   points to outputs, so that what lies between stays in its cache. */
#include <immintrin.h>
#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIDE 16   /* floats of a register */
#define POINTS 6  /* at most, along an axis */
#define TILE 4    /* outputs along an axis */
#define ROWS 14   /* of a product at a time: 14 x 2 sums in registers */
#define COLUMNS 32
#define BLOCK 112 /* tiles that go through together */
#define PAD 32    /* between rows, that they do not share their place in the cache */
#define A 0.75f
#define B 1.5f
#define INLINE static inline __attribute__((always_inline))

typedef float wide __attribute__((vector_size(4 * WIDE)));
typedef int32_t wide_mask __attribute__((vector_size(4 * WIDE)));
typedef uint32_t wide_bits __attribute__((vector_size(4 * WIDE)));
typedef uint16_t wide_half __attribute__((vector_size(2 * WIDE)));

typedef struct { /* every so-many-th cell of a map; tiles begin at top, left, and may leave it */
    int64_t first, height, width, batch_step, row_step, column_step, top, left; /* steps in elements */
} View;

typedef struct {
    int64_t batch, rows, columns;              /* images, and tiles of each */
    int64_t groups, sums, outputs;             /* of views: stacked, summed, and side by side in the products */
    int64_t in_channels, out_channels, points; /* points along an axis of the products: 5 or 6 */
    int64_t vertical[4], horizontal[4];        /* taps of the summed views */
    int64_t depth[POINTS * POINTS];            /* K of each point's product; 0 where there is none */
    int64_t before[4][POINTS * POINTS];        /* where each summed view's channels begin in it */
    const void *weights[POINTS * POINTS];      /* (N / 32, K, 32), in bfloat16 (N / 32, K / 2, 32, 2) */
    const View *in, *out;                      /* (sums, groups), (groups, outputs) */
    const float *bias;                         /* or none */
    float slope;                               /* that values below 0 are multiplied by */
} Job;

INLINE wide float_load(const float *p) { wide v; memcpy(&v, p, sizeof v); return v; }
INLINE void float_store(float *p, wide v) { memcpy(p, &v, sizeof v); }
INLINE wide bfloat16_load(const uint16_t *p) {
    wide_half half;
    memcpy(&half, p, sizeof half);
    return (wide)(__builtin_convertvector(half, wide_bits) << 16);
}
INLINE void bfloat16_store(uint16_t *p, wide v) {
    wide_bits bits = (wide_bits)v;
    bits += 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    wide_half half = __builtin_convertvector(bits >> 16, wide_half);
    memcpy(p, &half, sizeof half);
}
INLINE wide leaky(wide v, float slope) {
    wide_mask up = v > 0;
    return (wide)((up & (wide_mask)v) | (~up & (wide_mask)(v * slope)));
}

/* x[0 .. taps + 2], a step apart, to the values at the points. */
INLINE void to_points(int taps, const wide *x, int step, wide *out, int out_step) {
    wide x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step];
    if (taps == 1) {
        out[0] = x2 - A * A * x0;
        out[out_step] = x2 + A * x1;
        out[2 * out_step] = x2 - A * x1;
        out[3 * out_step] = x3 - A * A * x1;
    } else if (taps == 2) {
        wide x4 = x[4 * step], x3_less = x3 - B * x2, x2_less = x2 - B * x1;
        out[0] = x3_less - A * A * (x1 - B * x0);
        out[out_step] = x3_less + A * x2_less;
        out[2 * out_step] = x3_less - A * x2_less;
        out[3 * out_step] = x4 - B * x3 - A * A * x2_less;
        out[4 * out_step] = x3 - A * A * x1;
    } else {
        wide x4 = x[4 * step], x5 = x[5 * step];
        wide even = x4 - B * B * x2, odd = A * (x3 - B * B * x1), even2 = x4 - A * A * x2, odd2 = B * (x3 - A * A * x1);
        out[0] = even - A * A * (x2 - B * B * x0);
        out[out_step] = even + odd;
        out[2 * out_step] = even - odd;
        out[3 * out_step] = x5 - B * B * x3 - A * A * (x3 - B * B * x1);
        out[4 * out_step] = even2 + odd2;
        out[5 * out_step] = even2 - odd2;
    }
}

/* The values at the points to a tile's 4 outputs. */
INLINE void from_points(int points, const wide *m, int step, wide *out, int out_step) {
    wide sum = m[step] + m[2 * step], difference = A * (m[step] - m[2 * step]);
    wide sum2 = m[4 * step], difference2 = B * m[4 * step];
    if (points == 6) {
        sum2 += m[5 * step];
        difference2 -= B * m[5 * step];
    }
    out[0] = m[0] + sum + sum2;
    out[out_step] = difference + difference2;
    out[2 * out_step] = A * A * sum + B * B * sum2;
    out[3 * out_step] = A * A * difference + B * B * difference2 + m[3 * step];
}

/* ROWS rows of values (K), a step apart, times one panel of weights. */
INLINE void float_product(const float *values, int64_t step, int64_t depth, const float *panel, float *out, int64_t out_step) {
    wide sums[ROWS][2] = {0};
    for (int64_t k = 0; k < depth; k++) {
        wide left = float_load(panel + k * COLUMNS), right = float_load(panel + k * COLUMNS + WIDE);
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; r++) {
            float value = values[r * step + k];
            sums[r][0] += value * left;
            sums[r][1] += value * right;
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < ROWS; r++) {
        float_store(out + r * out_step, sums[r][0]);
        float_store(out + r * out_step + WIDE, sums[r][1]);
    }
}

static inline __attribute__((target("avx512bf16"))) void bfloat16_product(
    const uint16_t *values, int64_t step, int64_t depth, const uint16_t *panel, float *out, int64_t out_step) {
    __m512 sums[ROWS][2];
#pragma GCC unroll 14
    for (int r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2) {
        __m512bh left = (__m512bh)_mm512_loadu_si512(panel + k * COLUMNS);
        __m512bh right = (__m512bh)_mm512_loadu_si512(panel + k * COLUMNS + 2 * WIDE);
#pragma GCC unroll 14
        for (int r = 0; r < ROWS; r++) {
            int32_t pair;
            memcpy(&pair, values + r * step + k, sizeof pair);
            __m512bh value = (__m512bh)_mm512_set1_epi32(pair);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], value, left);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], value, right);
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < ROWS; r++) {
        _mm512_storeu_ps(out + r * out_step, sums[r][0]);
        _mm512_storeu_ps(out + r * out_step + WIDE, sums[r][1]);
    }
}

int winograd_has_bfloat16(void) { return __builtin_cpu_supports("avx512bf16") != 0; }

static int64_t padded(int64_t count, int64_t by) { return (count + by - 1) / by * by; }

/* Bytes that each thread needs between. */
int64_t winograd_workspace(const Job *job) {
    int64_t floats = 0;
    for (int p = 0; p < POINTS * POINTS; p++)
        if (job->depth[p]) floats += job->depth[p] + PAD + padded(job->out_channels * job->outputs, COLUMNS) + PAD;
    return padded(floats * BLOCK * 4, 4096);
}

#define TYPE float
#define NAME(part) float_##part
#include "winograd_typed.h"
#undef TYPE
#undef NAME
#define TYPE uint16_t
#define NAME(part) bfloat16_##part
#undef TARGET
#define TARGET __attribute__((target("avx512bf16")))
#include "winograd_typed.h"
