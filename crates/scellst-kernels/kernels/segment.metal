// Reductions over bags: bag i is rows offsets[i]..offsets[i + 1] of a matrix of `columns`.
// Threadgroups (bags, tiles of columns) of (TILE_COLUMNS, TILE_ROWS) threads: a thread takes every eighth row of its
// column, and the eight meet in threadgroup memory in a fixed order, so that every run gives the same bits. As segment.cu.

// A parameter in threadgroup memory. (The emulator gives another meaning: there threadgroup memory is static.)
#ifndef LOCAL
#define LOCAL threadgroup
#endif
#define THREADS uint3 group [[threadgroup_position_in_grid]], uint3 lane [[thread_position_in_threadgroup]]

// What a thread works on.
struct Place {
  size_t bag, first, end, row, column;
  bool inside;
};
SHARED_FN Place place(device const u32 *offsets, u32 columns, uint3 group, uint3 lane) {
  Place p;
  p.bag = group.x;
  p.first = offsets[p.bag];
  p.end = offsets[p.bag + 1];
  p.row = p.first + lane.y;
  p.column = (size_t)group.y * TILE_COLUMNS + lane.x;
  p.inside = p.column < columns;
  return p;
}
#define EACH_ROW(p, r) for (size_t r = (p).row; r < (p).end; r += TILE_ROWS)

typedef float Tile[TILE_COLUMNS];
typedef u32 Rows[TILE_COLUMNS];

// The sum of a column's eight parts, to each of its threads.
SHARED_FN float tile_sum(LOCAL Tile *tile, float part, uint3 lane) {
  tile[lane.y][lane.x] = part;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float sum = 0.0f;
  for (int y = 0; y < TILE_ROWS; ++y) sum += tile[y][lane.x];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return sum;
}

// The row of a column's maximum, to each of its threads; NO_ROW for an empty bag.
SHARED_FN u32 winning_row(
    LOCAL Tile *tile, LOCAL Rows *rows, device const float *x, Place p, u32 columns, uint3 lane) {
  float best = 0.0f;
  u32 best_row = NO_ROW;
  if (p.inside)
    EACH_ROW(p, r) {
      const float v = x[r * columns + p.column];
      if (wins(v, (u32)r, best, best_row)) {
        best = v;
        best_row = (u32)r;
      }
    }
  tile[lane.y][lane.x] = best;
  rows[lane.y][lane.x] = best_row;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  best = 0.0f;
  best_row = NO_ROW;
  for (int y = 0; y < TILE_ROWS; ++y)
    if (wins(tile[y][lane.x], rows[y][lane.x], best, best_row)) {
      best = tile[y][lane.x];
      best_row = rows[y][lane.x];
    }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return best_row;
}

// Sum, or mean where `mean` is set; 0 for an empty bag.
kernel void segment_sum_f32(
    device const float *x [[buffer(0)]], device const u32 *offsets [[buffer(1)]], device float *out [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], constant u32 &mean [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += x[r * columns + p.column];
  const float sum = tile_sum(tile, part, lane);
  if (p.inside && lane.y == 0) {
    const float weight = mean && p.end > p.first ? 1.0f / (float)(p.end - p.first) : 1.0f;
    out[p.bag * columns + p.column] = sum * weight;
  }
}
kernel void segment_sum_grad_f32(
    device const float *g [[buffer(0)]], device const u32 *offsets [[buffer(1)]], device float *dx [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], constant u32 &mean [[buffer(4)]], THREADS) {
  const Place p = place(offsets, columns, group, lane);
  if (!p.inside) return;
  const float weight = mean && p.end > p.first ? 1.0f / (float)(p.end - p.first) : 1.0f;
  const float v = g[p.bag * columns + p.column] * weight;
  EACH_ROW(p, r) dx[r * columns + p.column] = v;
}

// Mean of softplus.
kernel void segment_softplus_f32(
    device const float *z [[buffer(0)]], device const u32 *offsets [[buffer(1)]], device float *out [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], constant float &beta [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += softplus_value(z[r * columns + p.column], beta);
  const float sum = tile_sum(tile, part, lane);
  if (p.inside && lane.y == 0) {
    const float weight = p.end > p.first ? 1.0f / (float)(p.end - p.first) : 0.0f;
    out[p.bag * columns + p.column] = sum * weight;
  }
}
kernel void segment_softplus_grad_f32(
    device const float *z [[buffer(0)]], device const float *g [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *dz [[buffer(3)]], constant u32 &columns [[buffer(4)]], constant float &beta [[buffer(5)]], THREADS) {
  const Place p = place(offsets, columns, group, lane);
  if (!p.inside || p.end <= p.first) return;
  const float v = g[p.bag * columns + p.column] * (1.0f / (float)(p.end - p.first));
  EACH_ROW(p, r) {
    const size_t i = r * columns + p.column;
    dz[i] = v * softplus_slope(z[i], beta);
  }
}

// Sum of rows times their weights.
kernel void segment_weighted_f32(
    device const float *x [[buffer(0)]], device const float *w [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *out [[buffer(3)]], constant u32 &columns [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += w[r] * x[r * columns + p.column];
  const float sum = tile_sum(tile, part, lane);
  if (p.inside && lane.y == 0) out[p.bag * columns + p.column] = sum;
}
kernel void segment_weighted_by_x_f32(
    device const float *w [[buffer(0)]], device const float *g [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *dx [[buffer(3)]], constant u32 &columns [[buffer(4)]], THREADS) {
  const Place p = place(offsets, columns, group, lane);
  if (!p.inside) return;
  const float v = g[p.bag * columns + p.column];
  EACH_ROW(p, r) dx[r * columns + p.column] = w[r] * v;
}
// Threadgroups (bags): a row's product with its bag's gradient, 32 threads to a row.
kernel void segment_weighted_by_w_f32(
    device const float *x [[buffer(0)]], device const float *g [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *dw [[buffer(3)]], constant u32 &columns [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  // All threads of a group take the same number of turns: there is a barrier in them.
  for (size_t turn = p.first; turn < p.end; turn += TILE_ROWS) {
    const size_t r = turn + lane.y;
    float part = 0.0f;
    if (r < p.end)
      for (size_t c = lane.x; c < columns; c += TILE_COLUMNS) part += x[r * columns + c] * g[p.bag * columns + c];
    tile[lane.y][lane.x] = part;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane.x == 0 && r < p.end) {
      float sum = 0.0f;
      for (int c = 0; c < TILE_COLUMNS; ++c) sum += tile[lane.y][c];
      dw[r] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
}

// Maximum; 0 for an empty bag.
kernel void segment_max_f32(
    device const float *x [[buffer(0)]], device const u32 *offsets [[buffer(1)]], device float *out [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  threadgroup u32 rows[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  const u32 row = winning_row(tile, rows, x, p, columns, lane);
  if (p.inside && lane.y == 0)
    out[p.bag * columns + p.column] = row == NO_ROW ? 0.0f : x[(size_t)row * columns + p.column];
}
kernel void segment_max_grad_f32(
    device const float *x [[buffer(0)]], device const float *g [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *dx [[buffer(3)]], constant u32 &columns [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  threadgroup u32 rows[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  const u32 row = winning_row(tile, rows, x, p, columns, lane);
  if (!p.inside) return;
  const float v = g[p.bag * columns + p.column];
  EACH_ROW(p, r) dx[r * columns + p.column] = r == row ? v : 0.0f;
}

// exp(x) over its sum in the bag, with the maximum taken off first.
kernel void segment_softmax_f32(
    device const float *x [[buffer(0)]], device const u32 *offsets [[buffer(1)]], device float *y [[buffer(2)]],
    constant u32 &columns [[buffer(3)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  threadgroup u32 rows[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  const u32 row = winning_row(tile, rows, x, p, columns, lane);
  const bool some = p.inside && row != NO_ROW;
  const float top = some ? x[(size_t)row * columns + p.column] : 0.0f;
  float part = 0.0f;
  if (some) EACH_ROW(p, r) part += exp_of(x[r * columns + p.column] - top);
  const float sum = tile_sum(tile, part, lane);
  if (some)
    EACH_ROW(p, r) {
      const size_t i = r * columns + p.column;
      y[i] = exp_of(x[i] - top) / sum;
    }
}
kernel void segment_softmax_grad_f32(
    device const float *y [[buffer(0)]], device const float *g [[buffer(1)]], device const u32 *offsets [[buffer(2)]],
    device float *dx [[buffer(3)]], constant u32 &columns [[buffer(4)]], THREADS) {
  threadgroup float tile[TILE_ROWS][TILE_COLUMNS];
  const Place p = place(offsets, columns, group, lane);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += y[r * columns + p.column] * g[r * columns + p.column];
  const float sum = tile_sum(tile, part, lane);
  if (p.inside)
    EACH_ROW(p, r) {
      const size_t i = r * columns + p.column;
      dx[i] = y[i] * (g[i] - sum);
    }
}
