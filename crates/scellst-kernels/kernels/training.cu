// Losses of bags, and AdamW. f32 only: a loss in bf16 is no loss to train by.

// The sum of what the LINE threads of a block bring, to all of them: a tree, the same order on every run.
SHARED_FN float line_sum(float *line, float part) {
  line[threadIdx.x] = part;
  __syncthreads();
  for (u32 reach = LINE / 2; reach > 0; reach /= 2) {
    if (threadIdx.x < reach) line[threadIdx.x] += line[threadIdx.x + reach];
    __syncthreads();
  }
  return line[0];
}
#define LINE_MEMORY __shared__ float line[LINE];

// Grid (bags): the mean over genes of the squared difference.
extern "C" __global__ void squared_error_f32(const float *mean, const float *label, float *loss, u32 genes) {
  LINE_MEMORY
  const size_t row = (size_t)blockIdx.x * genes;
  float part = 0.0f;
  for (size_t c = threadIdx.x; c < genes; c += LINE) {
    const float d = mean[row + c] - label[row + c];
    part += d * d;
  }
  const float sum = line_sum(line, part);
  if (threadIdx.x == 0) loss[blockIdx.x] = sum / (float)genes;
}
extern "C" __global__ void squared_error_grad_f32(
    const float *mean, const float *label, const float *g, float *dmean, u32 genes) {
  const size_t row = (size_t)blockIdx.x * genes;
  const float scale = 2.0f * g[blockIdx.x] / (float)genes;
  for (size_t c = threadIdx.x; c < genes; c += LINE) dmean[row + c] = scale * (mean[row + c] - label[row + c]);
}

// Grid (bags): minus the log-likelihood of a bag's counts, summed over genes.
extern "C" __global__ void negative_binomial_f32(
    const float *mean, const float *log_theta, const float *count, float *loss, u32 genes) {
  LINE_MEMORY
  const size_t row = (size_t)blockIdx.x * genes;
  float part = 0.0f;
  for (size_t c = threadIdx.x; c < genes; c += LINE)
    part += negative_binomial_loss(mean[row + c], exp_of(log_theta[c]), count[row + c]);
  const float sum = line_sum(line, part);
  if (threadIdx.x == 0) loss[blockIdx.x] = sum;
}
extern "C" __global__ void negative_binomial_by_mean_f32(
    const float *mean, const float *log_theta, const float *count, const float *g, float *dmean, u32 genes) {
  const size_t row = (size_t)blockIdx.x * genes;
  for (size_t c = threadIdx.x; c < genes; c += LINE)
    dmean[row + c] = g[blockIdx.x] * negative_binomial_by_mean(mean[row + c], exp_of(log_theta[c]), count[row + c]);
}
// Grid (tiles of genes), block (TILE_COLUMNS, TILE_ROWS): a gene's gradient summed over the bags.
extern "C" __global__ void negative_binomial_by_theta_f32(
    const float *mean, const float *log_theta, const float *count, const float *g, float *dtheta, u32 bags, u32 genes) {
  TILE
  const size_t column = (size_t)blockIdx.x * TILE_COLUMNS + threadIdx.x;
  float part = 0.0f;
  if (column < genes) {
    const float theta = exp_of(log_theta[column]);
    for (size_t b = threadIdx.y; b < bags; b += TILE_ROWS) {
      const size_t i = b * genes + column;
      part += g[b] * negative_binomial_by_log_theta(mean[i], theta, count[i]);
    }
  }
  const float sum = tile_sum(tile, part);
  if (column < genes && threadIdx.y == 0) dtheta[column] = sum;
}

// One step of AdamW (Loshchilov and Hutter 2019, algorithm 2) of `n` weights, in place.
// keep = 1 - rate * decay; step = rate / (1 - beta1^t); root = sqrt(1 - beta2^t).
extern "C" __global__ void adamw_f32(
    const float *g, float *weight, float *first, float *second, u64 n, float beta1, float beta2, float keep, float step,
    float root, float epsilon) {
  const u64 i = (u64)blockIdx.x * LINE + threadIdx.x;
  if (i >= n) return;
  const float d = g[i];
  const float m = beta1 * first[i] + (1.0f - beta1) * d;
  const float v = beta2 * second[i] + (1.0f - beta2) * (d * d);
  first[i] = m;
  second[i] = v;
  weight[i] = weight[i] * keep - step * (m / (sqrt_of(v) / root + epsilon));
}
