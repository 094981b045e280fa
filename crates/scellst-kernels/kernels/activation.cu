// Element by element: softplus; bias, LeakyReLU and dropout; and the sums over rows that a bias' gradient is.

template <typename T>
SHARED_FN void softplus(const T *x, T *y, u64 n, float beta) {
  const u64 i = (u64)blockIdx.x * LINE + threadIdx.x;
  if (i < n) store(y, i, softplus_value(load(x, i), beta));
}
template <typename T>
SHARED_FN void softplus_grad(const T *x, const T *g, T *dx, u64 n, float beta) {
  const u64 i = (u64)blockIdx.x * LINE + threadIdx.x;
  if (i < n) store(dx, i, load(g, i) * softplus_slope(load(x, i), beta));
}

// Grid (rows / TILE_ROWS, tiles of columns). Kept elements are multiplied by `factor`.
template <typename T>
SHARED_FN void bias_activation(
    const T *x, const T *bias, T *y, u32 rows, u32 columns, float slope, u64 seed, u32 threshold, float factor) {
  const size_t row = (size_t)blockIdx.x * TILE_ROWS + threadIdx.y, column = (size_t)blockIdx.y * TILE_COLUMNS + threadIdx.x;
  if (row >= rows || column >= columns) return;
  const size_t i = row * columns + column;
  const float z = load(x, i) + load(bias, column);
  const float a = z > 0.0f ? z : z * slope;
  store(y, i, a * (dropped(seed, i, threshold) ? 0.0f : factor));
}
// From the result: dropout and LeakyReLU keep the sign.
template <typename T>
SHARED_FN void bias_activation_grad(
    const T *y, const T *g, T *dx, u64 n, float slope, u64 seed, u32 threshold, float factor) {
  const u64 i = (u64)blockIdx.x * LINE + threadIdx.x;
  if (i >= n) return;
  const float a = load(y, i) > 0.0f ? 1.0f : slope;
  store(dx, i, load(g, i) * (a * (dropped(seed, i, threshold) ? 0.0f : factor)));
}

// Grid (chunks of rows, tiles of columns): the sum of each column in each chunk.
template <typename T>
SHARED_FN void column_sum(Tile *tile, const T *x, T *out, u32 rows, u32 columns, u32 chunk) {
  const size_t first = (size_t)blockIdx.x * chunk, column = (size_t)blockIdx.y * TILE_COLUMNS + threadIdx.x;
  const size_t end = first + chunk < rows ? first + chunk : rows;
  float part = 0.0f;
  if (column < columns)
    for (size_t r = first + threadIdx.y; r < end; r += TILE_ROWS) part += load(x, r * columns + column);
  const float sum = tile_sum(tile, part);
  if (column < columns && threadIdx.y == 0) store(out, (size_t)blockIdx.x * columns + column, sum);
}

#define ACTIVATION_KERNELS(T, type)                                                                                  \
  extern "C" __global__ void softplus_##type(const T *x, T *y, u64 n, float beta) { softplus(x, y, n, beta); }       \
  extern "C" __global__ void softplus_grad_##type(const T *x, const T *g, T *dx, u64 n, float beta) {                \
    softplus_grad(x, g, dx, n, beta);                                                                                \
  }                                                                                                                  \
  extern "C" __global__ void bias_activation_##type(                                                                 \
      const T *x, const T *bias, T *y, u32 rows, u32 columns, float slope, u64 seed, u32 threshold, float factor) {  \
    bias_activation(x, bias, y, rows, columns, slope, seed, threshold, factor);                                      \
  }                                                                                                                  \
  extern "C" __global__ void bias_activation_grad_##type(                                                            \
      const T *y, const T *g, T *dx, u64 n, float slope, u64 seed, u32 threshold, float factor) {                    \
    bias_activation_grad(y, g, dx, n, slope, seed, threshold, factor);                                               \
  }                                                                                                                  \
  extern "C" __global__ void column_sum_##type(const T *x, T *out, u32 rows, u32 columns, u32 chunk) {               \
    TILE column_sum(tile, x, out, rows, columns, chunk);                                                             \
  }
ACTIVATION_KERNELS(float, f32)
ACTIVATION_KERNELS(bf16, bf16)
