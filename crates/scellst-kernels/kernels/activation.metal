// Element by element: softplus; bias, LeakyReLU and dropout; and the sums over rows that a bias' gradient is.

kernel void softplus_f32(
    device const float *x [[buffer(0)]], device float *y [[buffer(1)]], constant u64 &n [[buffer(2)]],
    constant float &beta [[buffer(3)]], THREADS) {
  const u64 i = (u64)group.x * LINE + lane.x;
  if (i < n) y[i] = softplus_value(x[i], beta);
}
kernel void softplus_grad_f32(
    device const float *x [[buffer(0)]], device const float *g [[buffer(1)]], device float *dx [[buffer(2)]],
    constant u64 &n [[buffer(3)]], constant float &beta [[buffer(4)]], THREADS) {
  const u64 i = (u64)group.x * LINE + lane.x;
  if (i < n) dx[i] = g[i] * softplus_slope(x[i], beta);
}

// Threadgroups (rows / TILE_ROWS, tiles of columns). Kept elements are multiplied by `factor`.
kernel void bias_activation_f32(
    device const float *x [[buffer(0)]], device const float *bias [[buffer(1)]], device float *y [[buffer(2)]],
    constant u32 &rows [[buffer(3)]], constant u32 &columns [[buffer(4)]], constant float &slope [[buffer(5)]],
    constant u64 &seed [[buffer(6)]], constant u32 &threshold [[buffer(7)]], constant float &factor [[buffer(8)]],
    THREADS) {
  const size_t row = (size_t)group.x * TILE_ROWS + lane.y, column = (size_t)group.y * TILE_COLUMNS + lane.x;
  if (row >= rows || column >= columns) return;
  const size_t i = row * columns + column;
  const float z = x[i] + bias[column];
  const float a = z > 0.0f ? z : z * slope;
  y[i] = a * (dropped(seed, i, threshold) ? 0.0f : factor);
}
// From the result: dropout and LeakyReLU keep the sign.
kernel void bias_activation_grad_f32(
    device const float *y [[buffer(0)]], device const float *g [[buffer(1)]], device float *dx [[buffer(2)]],
    constant u64 &n [[buffer(3)]], constant float &slope [[buffer(4)]], constant u64 &seed [[buffer(5)]],
    constant u32 &threshold [[buffer(6)]], constant float &factor [[buffer(7)]], THREADS) {
  const u64 i = (u64)group.x * LINE + lane.x;
  if (i >= n) return;
  const float a = y[i] > 0.0f ? 1.0f : slope;
  dx[i] = g[i] * (a * (dropped(seed, i, threshold) ? 0.0f : factor));
}

// Threadgroups (chunks of rows, tiles of columns): the sum of each column in each chunk.
kernel void column_sum_f32(
    device const float *x [[buffer(0)]], device float *out [[buffer(1)]], constant u32 &rows [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], constant u32 &chunk [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const size_t first = (size_t)group.x * chunk, column = (size_t)group.y * TILE_COLUMNS + lane.x;
  const size_t end = first + chunk < rows ? first + chunk : rows;
  float part = 0.0f;
  if (column < columns)
    for (size_t r = first + lane.y; r < end; r += TILE_ROWS) part += x[r * columns + column];
  const float sum = tile_sum(tile, part, lane);
  if (column < columns && lane.y == 0) out[(size_t)group.x * columns + column] = sum;
}
