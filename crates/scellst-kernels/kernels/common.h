// What the CUDA and the Metal kernels share: sizes of blocks, random numbers, special functions. Comes first in the
// source of either; compiled by NVRTC or nvcc, by Metal, and by a C++ compiler for the emulator.
#ifdef __METAL_VERSION__
#include <metal_stdlib>
using namespace metal;
#define SHARED_FN static inline
typedef ulong u64;
#else
#define SHARED_FN static __device__ __forceinline__
typedef unsigned long long u64;
#endif
typedef unsigned int u32;

// A tile: threads side by side on columns (x), and rows (y) that share a column.
#define TILE_COLUMNS 32
#define TILE_ROWS 8
// A line of threads, for arrays and for rows that are added up.
#define LINE 256

#ifdef __METAL_VERSION__
SHARED_FN float exp_of(float x) { return precise::exp(x); }
SHARED_FN float log_of(float x) { return precise::log(x); }
SHARED_FN float sqrt_of(float x) { return precise::sqrt(x); }
#else
SHARED_FN float exp_of(float x) { return expf(x); }
SHARED_FN float log_of(float x) { return logf(x); }
SHARED_FN float sqrt_of(float x) { return sqrtf(x); }
#endif

SHARED_FN bool no_number(float x) { return x != x; }

// log(1 + x). Metal has none; the rounding of 1 + x is undone by the quotient (Kahan). For x > -1.
SHARED_FN float log_1p(float x) {
  const float u = 1.0f + x;
  if (u == 1.0f) return x;
  if (u > 3.0e38f) return log_of(u);
  return log_of(u) * (x / (u - 1.0f));
}

// Of two values and their rows whether the first is the maximum: the larger, no numbers above all, the first of equals.
#define NO_ROW 0xffffffffu
SHARED_FN bool wins(float a, u32 row_a, float b, u32 row_b) {
  if (row_a == NO_ROW || row_b == NO_ROW) return row_a < row_b;
  if (no_number(a) || no_number(b)) return no_number(a) && (!no_number(b) || row_a < row_b);
  return a > b || (a == b && row_a < row_b);
}

// log(a / b) of positive numbers given d = a - b: to f32's own precision where they are near each other too.
SHARED_FN float log_ratio(float a, float b, float d) {
  const float u = d / b;
  return u > -0.5f && u < 1.0f ? log_1p(u) : log_of(a) - log_of(b);
}

// log(a / b) - d / b, which is small where d is.
SHARED_FN float log_ratio_rest(float a, float b, float d) {
  const float u = d / b;
  if (u > -0.1f && u < 0.1f)
    return -u * u * (0.5f - u * (1.0f / 3.0f - u * (0.25f - u * (0.2f - u * (1.0f / 6.0f - u * (1.0f / 7.0f))))));
  return log_ratio(a, b, d) - u;
}

// log(1 + exp(beta x)) / beta; x itself above beta x of 20 (as PyTorch's nn.Softplus).
SHARED_FN float softplus_value(float x, float beta) {
  const float t = beta * x;
  return t > 20.0f ? x : log_1p(exp_of(t)) / beta;
}

SHARED_FN float softplus_slope(float x, float beta) {
  const float t = beta * x;
  return t > 20.0f ? 1.0f : 1.0f / (1.0f + exp_of(-t));
}

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
SHARED_FN u64 mix_bits(u64 x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Whether dropout takes element `index`: 24 random bits below a threshold, integers only, the same on every device.
SHARED_FN bool dropped(u64 seed, u64 index, u32 threshold) { return (u32)(mix_bits(seed ^ mix_bits(index)) >> 40) < threshold; }

// lgamma(z) - ((z - 1/2) log z - z + log(2 pi) / 2), the remainder of Stirling's formula (Abramowitz & Stegun 6.1.40),
// for z > 0. Nothing here is ever large, unlike lgamma, whose differences f32 cannot hold at counts of a million.
SHARED_FN float stirling_rest(float z) {
  float rest = 0.0f;
  while (z < 8.0f) {
    rest += (z + 0.5f) * log_1p(1.0f / z) - 1.0f;
    z += 1.0f;
  }
  const float r = 1.0f / z, s = r * r;
  return rest + r * (1.0f / 12.0f - s * (1.0f / 360.0f - s * (1.0f / 1260.0f)));
}

// digamma(z) - log z for z > 0 (Abramowitz & Stegun 6.3.18 and 6.3.5).
SHARED_FN float digamma_rest(float z) {
  float rest = 0.0f;
  while (z < 8.0f) {
    rest += log_ratio_rest(z + 1.0f, z, 1.0f);
    z += 1.0f;
  }
  const float r = 1.0f / z, s = r * r;
  return rest - 0.5f * r - s * (1.0f / 12.0f - s * (1.0f / 120.0f - s * (1.0f / 252.0f)));
}

// Added to means and dispersions, so that a mean of 0 has a logarithm.
#define NB_SMALL 1e-8f

// a log(a / b) - d for d = a - b: the deviance of Loader (2000), "Fast and accurate computation of binomial
// probabilities".
SHARED_FN float deviance(float a, float b, float d) {
  const float u = d / b;
  return u > -0.1f && u < 0.1f ? a * log_ratio_rest(a, b, d) + d * u : a * log_ratio(a, b, d) - d;
}

// Minus the log-likelihood of `count` under a negative binomial of `mean` and dispersion `theta`: log-gammas by
// Stirling's formula, the large terms cancelled on paper, for the likelihood of a count of a million is of the size of 10.
SHARED_FN float negative_binomial_loss(float mean, float theta, float count) {
  const float m = mean + NB_SMALL, t = theta + NB_SMALL;
  const float n = count + t, total = m + theta, d = count - m;
  if (!(count > 0.0f)) return t * log_1p(m / t) - count * 0.0f;  // no number for a count that is none
  // n log(n / total) + count log(m / count): by the deviances where theta is large, else by what theta changes.
  const float logs = t < m ? theta * log_ratio(n, total, count - mean) +
                                 count * log_1p((NB_SMALL * m - theta * d) / (total * count))
                           : deviance(n, total, d) - deviance(count, m, d);
  const float roots = -0.5f * (log_of(n) - log_of(t) + log_of(count)) - 0.9189385332f;  // log(2 pi) / 2
  return -(logs + roots + (stirling_rest(n) - stirling_rest(t)) - stirling_rest(count));
}

// Its derivative by the mean.
SHARED_FN float negative_binomial_by_mean(float mean, float theta, float count) {
  const float m = mean + NB_SMALL;
  return theta * (m - count) / (m * (m + theta));
}

// Its derivative by log(theta).
SHARED_FN float negative_binomial_by_log_theta(float mean, float theta, float count) {
  const float m = mean + NB_SMALL, t = theta + NB_SMALL;
  const float n = count + t, total = m + theta;
  return -theta * (log_ratio_rest(n, total, count - m) + (digamma_rest(n) - digamma_rest(t)));
}
