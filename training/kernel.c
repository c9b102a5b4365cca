/* Products of weights with images, 16 images a vector of 64 bytes: see training/kernel.py.

   A word of 32 bits is one float, or with PAIRS two bfloat16 of neighbouring channels. What a
   layer is stands in tables of offsets alone, so that no line here knows of convolutions. */

#include <stdint.h>
#include <immintrin.h>

#ifndef __AVX512F__
#error "written for 32 registers of 64 bytes"
#endif

typedef float V __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));

static const I LANE = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16") for

/* As in kernel.py, like the two structures. */
enum {
  MULTIPLY, MULTIPLY_RELU, MULTIPLY_MASKED, LEARN, LEARN_FLAT, SUM, SPREAD, LOAD, LOSS, LOSS_SIGMOID
};

/* `small` and `sums` are LEARN's, `mask` is what the ReLU that is gone back through gave. */
typedef struct {
  const V *x, *small, *mask;
  V *y, *sums;
  const float *weights, *bias;
  const int32_t *at_x, *at_y, *terms, *outputs; /* offsets in vectors: of pixels, of channels */
  int32_t kind, tile, n_terms, n_outputs, n_pixels, n_blocks; /* pixels of so many blocks */
} Op;

/* Images [B,C,H,W], `scale` times whose squared errors are the loss. */
typedef struct {
  const float *noisy, *clean;
  double squares;
  float scale;
  int32_t images;
} Batch;

#ifdef PAIRS
enum { PACK = 2 };
INLINE V dot(V sum, V a, V b) {
  return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
INLINE V get(V word, int half) {
  return (V)(half ? (I)word & (int32_t)0xffff0000 : (I)word << 16);
}
INLINE V rounded(V a) { return (V)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)a)); }
INLINE V put(const V *a) { return (V)((I)rounded(a[0]) | ((I)rounded(a[1]) << 16)); }
INLINE V as_stored(V a) { return get(rounded(a), 0); }
INLINE V ones(void) { return (V)((I){} + 0x3f803f80); }
#else
enum { PACK = 1 };
INLINE V dot(V sum, V a, V b) { return sum + a * b; }
INLINE V get(V word, int half) { return word; }
INLINE V put(const V *a) { return a[0]; }
INLINE V as_stored(V a) { return a; }
INLINE V ones(void) { return (V){} + 1; }
#endif

/* OUT channels of PIX pixels: all sums stay in registers. */
INLINE void tile(const int OUT, const int PIX, const Op *op, const float *weights,
                 const float *bias, const int32_t *outputs, int n_outputs, int pixel) {
  V sum[8][8], in[8]; /* sizes that are variables would lie in memory */
  const V *x[8];
  UNROLLED(int p = 0; p < PIX; p++) {
    x[p] = op->x + op->at_x[pixel + p];
    UNROLLED(int o = 0; o < OUT; o++) sum[p][o] = (V){} + bias[o];
  }
  for (int k = 0; k < op->n_terms; k++, weights += OUT) {
    UNROLLED(int p = 0; p < PIX; p++) in[p] = x[p][op->terms[k]];
    UNROLLED(int o = 0; o < OUT; o++) {
      V weight = (V){} + weights[o];
      UNROLLED(int p = 0; p < PIX; p++) sum[p][o] = dot(sum[p][o], in[p], weight);
    }
  }
  UNROLLED(int p = 0; p < PIX; p++) UNROLLED(int o = 0; o < OUT; o += PACK) {
    if (o >= n_outputs) continue;
    int to = op->at_y[pixel + p] + outputs[o / PACK];
    UNROLLED(int half = 0; half < PACK; half++) {
      V *value = &sum[p][o + half];
      /* Written so that what is not a number stays so. */
      if (op->kind == MULTIPLY_RELU) *value = (V)((I)*value & ~(*value < 0));
      if (op->kind == MULTIPLY_MASKED)
        *value = (V)((I)*value & ~(get(op->mask[to], half) <= 0));
    }
    op->y[to] = put(&sum[p][o]);
  }
}

#define TILES(OUT, PIX)                                                                        \
  static void tiles_##OUT(const Op *op, int pixels) {                                          \
    for (int o = 0; o < op->n_outputs; o += OUT) {                                             \
      const float *weights = op->weights + o * op->n_terms, *bias = op->bias + o;              \
      const int32_t *outputs = op->outputs + o / PACK;                                         \
      int p = 0, left = op->n_outputs - o;                                                     \
      for (; p + PIX <= pixels; p += PIX)                                                      \
        tile(OUT, PIX, op, weights, bias, outputs, left, p);                                   \
      for (; p + 2 <= pixels; p += 2) tile(OUT, 2, op, weights, bias, outputs, left, p);       \
      for (; p < pixels; p++) tile(OUT, 1, op, weights, bias, outputs, left, p);               \
    }                                                                                          \
  }

TILES(8, 3)
TILES(4, 6)
TILES(2, 8)

/* Of every two lanes so far apart the first, or the second: a's, and then b's in between. */
INLINE V every(const int second, V a, V b, const int step) {
  I from;
  for (int lane = 0; lane < 16; lane++)
    from[lane] = (lane & step ? 16 + (lane & ~step) : lane) + second * step;
  return (V)_mm512_permutex2var_ps((__m512)a, (__m512i)from, (__m512)b);
}
INLINE V both(V a, V b, const int step) { return every(0, a, b, step) + every(1, a, b, step); }

/* Lane n is the sum of the lanes of vector n. */
INLINE V lanes(V *v) {
  UNROLLED(int n = 0; n < 16; n += 2) v[n] = both(v[n], v[n + 1], 1);
  UNROLLED(int n = 0; n < 16; n += 4) v[n] = both(v[n], v[n + 2], 2);
  UNROLLED(int n = 0; n < 16; n += 8) v[n] = both(v[n], v[n + 4], 4);
  return both(v[0], v[8], 8);
}

/* Lane n of vector m becomes lane m of vector n. */
INLINE void turn(V *v) {
  UNROLLED(int step = 1; step < 16; step *= 2) UNROLLED(int n = 0; n < 16; n++) {
    if (n & step) continue;
    V a = v[n], b = v[n + step];
    v[n] = every(0, a, b, step);
    v[n + step] = every(1, a, b, step);
  }
}

/* Adds to the gradient of the weights, 4 outputs by 4 terms at a time. */
static void learn_from(const Op *op, int start, int end) {
  V *sums = op->sums;
  for (int o = 0; o < op->n_outputs; o += 4)
    for (int k = 0; k < op->n_terms; k += 4) {
      const V *x[4], *small[4];
      V sum[16] = {};
      UNROLLED(int n = 0; n < 4; n++) {
        x[n] = op->x + op->terms[k + n];
        small[n] = op->small + op->outputs[o + n];
      }
      for (int p = start; p < end; p++) {
        V in[4];
        UNROLLED(int n = 0; n < 4; n++) in[n] = x[n][op->at_x[p]];
        UNROLLED(int m = 0; m < 4; m++) {
          V out = small[m][op->at_y[p]];
          UNROLLED(int n = 0; n < 4; n++) sum[4 * m + n] = dot(sum[4 * m + n], out, in[n]);
        }
      }
      *sums++ += lanes(sum);
    }
}

/* Whole blocks of at least 48 pixels at a time: more leave the first cache (R2's 1.45 us an image
   in place of 1.21 for its 49 pixels), of fewer the sums over lanes take too long. */
static void learn(const Op *op, int pixels) {
  int step = op->n_pixels;
  while (step < 48) step += op->n_pixels;
  for (int p = 0; p < pixels; p += step) learn_from(op, p, p + step < pixels ? p + step : pixels);
}

/* The same for a dense layer, which has a pixel only: 16 terms a vector, 8 outputs by 32 terms. */
static void learn_flat(const Op *op, int pixels) {
  int row = op->n_terms / 16;
  for (int p = 0; p < pixels; p++)
    for (int k = 0; k < op->n_terms; k += 32) {
      V x[32];
      for (int n = 0; n < 32; n++) x[n] = op->x[op->terms[k + n] + op->at_x[p]];
      turn(x);
      turn(x + 16);
      for (int o = 0; o < op->n_outputs; o += 8) {
        V *sums = op->sums + o * row + k / 16, sum[8][2];
        const float *small[8];
        UNROLLED(int m = 0; m < 8; m++) {
          small[m] = (const float *)(op->small + op->outputs[o + m] + op->at_y[p]);
          UNROLLED(int n = 0; n < 2; n++) sum[m][n] = sums[m * row + n];
        }
        for (int i = 0; i < 16; i++) UNROLLED(int m = 0; m < 8; m++) {
          V out = (V){} + small[m][i];
          UNROLLED(int n = 0; n < 2; n++) sum[m][n] = dot(sum[m][n], x[16 * n + i], out);
        }
        UNROLLED(int m = 0; m < 8; m++) UNROLLED(int n = 0; n < 2; n++)
          sums[m * row + n] = sum[m][n];
      }
    }
}

/* Adds to the gradient of the biases. */
static void add_up(const Op *op, int pixels) {
  for (int o = 0; o < op->n_outputs; o += 16) {
    V sum[16] = {};
    for (int n = 0; n < 16 && o + n < op->n_outputs; n += 4)
      for (int p = 0; p < pixels; p++) UNROLLED(int m = n; m < n + 4; m++)
        sum[m] = dot(sum[m], op->x[op->outputs[o + m] + op->at_x[p]], ones());
    op->sums[o / 16] += lanes(sum);
  }
}

/* The channels of a pair apart: of two blocks of images a vector each. */
static void spread(const Op *op, int blocks) {
  for (int b = 0; b < blocks; b++)
    for (int c = 0; c < op->n_outputs; c++) {
      int size = op->n_pixels, channels = op->n_outputs;
      const I *one = (const I *)op->x + (2 * b * channels + c) * size;
      const I *two = one + channels * size;
      I *low = (I *)op->y + 2 * (b * channels + c) * size, *high = low + size;
      for (int i = 0; i < size; i++) {
        low[i] = (one[i] & 0xffff) | (two[i] << 16);
        high[i] = ((one[i] >> 16) & 0xffff) | (two[i] & (int32_t)0xffff0000);
      }
    }
}

/* The same number of each of 16 images; of those beyond the last, 0. */
INLINE V gather(const float *images, int block, I there, int channel, int pixel, const Op *op) {
  int size = op->n_outputs * op->n_pixels;
  const float *first = images + (long)block * 16 * size + channel * op->n_pixels + pixel;
  return (V)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), _mm512_movepi32_mask((__m512i)there),
                                     (__m512i)(LANE * size), first, 4);
}

INLINE V sigmoid(V x) {
  const float series[] = {1.53376191e-4f, 1.33999077e-3f, 9.61851981e-3f, 5.55032888e-2f,
                          2.40226466e-1f, 6.93147206e-1f, 1.0f}; /* of 2^x, |x| <= 0.5 */
  __m512 bound = _mm512_set1_ps(100), limited = _mm512_min_ps(bound, (__m512)x);
  limited = _mm512_max_ps(_mm512_set1_ps(-100), limited);
  V scaled = (V)limited * -1.44269504f;
  __m512 whole = _mm512_roundscale_ps((__m512)scaled, 0);
  V part = scaled - (V)whole, power = (V){} + series[0];
  UNROLLED(int n = 1; n < 7; n++) power = power * part + series[n];
  return 1 / (1 + (V)_mm512_scalef_ps((__m512)power, whole));
}

static void load(const Op *op, int blocks, const Batch *batch) {
  for (int b = 0; b < blocks; b++) {
    I there = LANE < batch->images - 16 * b;
    for (int c = 0; c < op->n_outputs; c += PACK)
      for (int i = 0; i < op->n_pixels; i++) {
        V value[2] = {};
        for (int half = 0; half < PACK && c + half < op->n_outputs; half++)
          value[half] = gather(batch->noisy, b, there, c + half, i, op);
        op->y[op->at_y[b * op->n_pixels + i] + op->outputs[c / PACK]] = put(value);
      }
  }
}

/* Adds up the squared errors, and gives their gradient. */
static void loss(const Op *op, int blocks, Batch *batch, const int is_sigmoid) {
  for (int b = 0; b < blocks; b++) {
    V squares = {};
    I there = LANE < batch->images - 16 * b;
    for (int c = 0; c < op->n_outputs; c += PACK)
      for (int i = 0; i < op->n_pixels; i++) {
        int at = op->at_x[b * op->n_pixels + i] + op->outputs[c / PACK];
        V gradient[2] = {};
        for (int half = 0; half < PACK && c + half < op->n_outputs; half++) {
          V value = get(op->x[at], half);
          if (is_sigmoid) value = as_stored(sigmoid(value));
          V error = value - gather(batch->clean, b, there, c + half, i, op);
          error = (V)((I)error & there);
          squares += error * error;
          gradient[half] = error * (2 * batch->scale);
          if (is_sigmoid) gradient[half] *= value * (1 - value);
        }
        op->y[at] = put(gradient);
      }
    for (int n = 0; n < 16; n++) batch->squares += squares[n];
  }
}

void run(const Op *op, int n_ops, int blocks, Batch *batch) {
  for (const Op *end = op + n_ops; op < end; op++) {
    int pixels = op->n_pixels * (blocks / op->n_blocks);
    if (op->kind == LEARN)
      learn(op, pixels);
    else if (op->kind == LEARN_FLAT)
      learn_flat(op, pixels);
    else if (op->kind == SUM)
      add_up(op, pixels);
    else if (op->kind == SPREAD)
      spread(op, blocks / 2);
    else if (op->kind == LOAD)
      load(op, blocks, batch);
    else if (op->kind == LOSS || op->kind == LOSS_SIGMOID)
      op->kind == LOSS ? loss(op, blocks, batch, 0) : loss(op, blocks, batch, 1);
    else
      (op->tile == 8 ? tiles_8 : op->tile == 4 ? tiles_4 : tiles_2)(op, pixels);
  }
}
