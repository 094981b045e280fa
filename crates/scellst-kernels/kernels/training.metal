// Losses of bags, and AdamW.

// The sum of what the LINE threads of a group bring, to all of them: a tree, the same order on every run.
SHARED_FN float line_sum(LOCAL float *line, float part, uint3 lane) {
  line[lane.x] = part;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (u32 reach = LINE / 2; reach > 0; reach /= 2) {
    if (lane.x < reach) line[lane.x] += line[lane.x + reach];
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  return line[0];
}

// Threadgroups (bags): the mean over genes of the squared difference.
kernel void squared_error_f32(
    device const float *mean [[buffer(0)]], device const float *label [[buffer(1)]], device float *loss [[buffer(2)]],
    constant u32 &genes [[buffer(3)]], THREADS) {
  threadgroup float line[LINE];
  const size_t row = (size_t)group.x * genes;
  float part = 0.0f;
  for (size_t c = lane.x; c < genes; c += LINE) {
    const float d = mean[row + c] - label[row + c];
    part += d * d;
  }
  const float sum = line_sum(line, part, lane);
  if (lane.x == 0) loss[group.x] = sum / (float)genes;
}
kernel void squared_error_grad_f32(
    device const float *mean [[buffer(0)]], device const float *label [[buffer(1)]], device const float *g [[buffer(2)]],
    device float *dmean [[buffer(3)]], constant u32 &genes [[buffer(4)]], THREADS) {
  const size_t row = (size_t)group.x * genes;
  const float scale = 2.0f * g[group.x] / (float)genes;
  for (size_t c = lane.x; c < genes; c += LINE) dmean[row + c] = scale * (mean[row + c] - label[row + c]);
}

// Threadgroups (bags): minus the log-likelihood of a bag's counts, summed over genes.
kernel void negative_binomial_f32(
    device const float *mean [[buffer(0)]], device const float *log_theta [[buffer(1)]],
    device const float *count [[buffer(2)]], device float *loss [[buffer(3)]], constant u32 &genes [[buffer(4)]],
    THREADS) {
  threadgroup float line[LINE];
  const size_t row = (size_t)group.x * genes;
  float part = 0.0f;
  for (size_t c = lane.x; c < genes; c += LINE)
    part += negative_binomial_loss(mean[row + c], exp_of(log_theta[c]), count[row + c]);
  const float sum = line_sum(line, part, lane);
  if (lane.x == 0) loss[group.x] = sum;
}
kernel void negative_binomial_by_mean_f32(
    device const float *mean [[buffer(0)]], device const float *log_theta [[buffer(1)]],
    device const float *count [[buffer(2)]], device const float *g [[buffer(3)]], device float *dmean [[buffer(4)]],
    constant u32 &genes [[buffer(5)]], THREADS) {
  const size_t row = (size_t)group.x * genes;
  for (size_t c = lane.x; c < genes; c += LINE)
    dmean[row + c] = g[group.x] * negative_binomial_by_mean(mean[row + c], exp_of(log_theta[c]), count[row + c]);
}
// Threadgroups (tiles of genes) of (TILE_COLUMNS, TILE_ROWS): a gene's gradient summed over the bags.
kernel void negative_binomial_by_theta_f32(
    device const float *mean [[buffer(0)]], device const float *log_theta [[buffer(1)]],
    device const float *count [[buffer(2)]], device const float *g [[buffer(3)]], device float *dtheta [[buffer(4)]],
    constant u32 &bags [[buffer(5)]], constant u32 &genes [[buffer(6)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const size_t column = (size_t)group.x * TILE_COLUMNS + lane.x;
  float part = 0.0f;
  if (column < genes) {
    const float theta = exp_of(log_theta[column]);
    for (size_t b = lane.y; b < bags; b += TILE_ROWS) {
      const size_t i = b * genes + column;
      part += g[b] * negative_binomial_by_log_theta(mean[i], theta, count[i]);
    }
  }
  const float sum = tile_sum(tile, part, lane);
  if (column < genes && lane.y == 0) dtheta[column] = sum;
}

// One step of AdamW (Loshchilov and Hutter 2019, algorithm 2) of `n` weights, in place.
// keep = 1 - rate * decay; step = rate / (1 - beta1^t); root = sqrt(1 - beta2^t).
kernel void adamw_f32(
    device const float *g [[buffer(0)]], device float *weight [[buffer(1)]], device float *first [[buffer(2)]],
    device float *second [[buffer(3)]], constant u64 &n [[buffer(4)]], constant float &beta1 [[buffer(5)]],
    constant float &beta2 [[buffer(6)]], constant float &keep [[buffer(7)]], constant float &step [[buffer(8)]],
    constant float &root [[buffer(9)]], constant float &epsilon [[buffer(10)]], THREADS) {
  const u64 i = (u64)group.x * LINE + lane.x;
  if (i >= n) return;
  const float d = g[i];
  const float m = beta1 * first[i] + (1.0f - beta1) * d;
  const float v = beta2 * second[i] + (1.0f - beta2) * (d * d);
  first[i] = m;
  second[i] = v;
  weight[i] = weight[i] * keep - step * (m / (sqrt_of(v) / root + epsilon));
}
