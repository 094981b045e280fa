// Reductions over bags: bag i is rows offsets[i]..offsets[i + 1] of a matrix of `columns`.
// Grid (bags, tiles of columns), block (TILE_COLUMNS, TILE_ROWS): a thread takes every eighth row of its column, and the
// eight meet in shared memory in a fixed order, so that every run gives the same bits. Sums are kept in f32.

// 16-bit brain floats, as storage only.
struct bf16 {
  unsigned short bits;
};
SHARED_FN float load(const float *x, size_t i) { return x[i]; }
SHARED_FN float load(const bf16 *x, size_t i) { return __uint_as_float((u32)x[i].bits << 16); }
SHARED_FN void store(float *x, size_t i, float v) { x[i] = v; }
SHARED_FN void store(bf16 *x, size_t i, float v) {
  u32 b = __float_as_uint(v);
  // To the nearest, ties to even; what is no number stays none.
  b = no_number(v) ? (b | 0x400000) : b + 0x7fff + ((b >> 16) & 1);
  x[i].bits = (unsigned short)(b >> 16);
}

// What a thread works on.
struct Place {
  size_t bag, first, end, row, column;
  bool inside;
};
SHARED_FN Place place(const u32 *offsets, u32 columns) {
  Place p;
  p.bag = blockIdx.x;
  p.first = offsets[p.bag];
  p.end = offsets[p.bag + 1];
  p.row = p.first + threadIdx.y;
  p.column = (size_t)blockIdx.y * TILE_COLUMNS + threadIdx.x;
  p.inside = p.column < columns;
  return p;
}
#define EACH_ROW(p, r) for (size_t r = (p).row; r < (p).end; r += TILE_ROWS)

typedef float Tile[TILE_COLUMNS];

// The sum of a column's eight parts, to each of its threads.
SHARED_FN float tile_sum(Tile *tile, float part) {
  tile[threadIdx.y][threadIdx.x] = part;
  __syncthreads();
  float sum = 0.0f;
  for (int y = 0; y < TILE_ROWS; ++y) sum += tile[y][threadIdx.x];
  __syncthreads();
  return sum;
}

// The row of a column's maximum, to each of its threads; NO_ROW for an empty bag.
template <typename T>
SHARED_FN u32 winning_row(Tile *tile, u32 (*rows)[TILE_COLUMNS], const T *x, Place p, u32 columns) {
  float best = 0.0f;
  u32 best_row = NO_ROW;
  if (p.inside)
    EACH_ROW(p, r) {
      const float v = load(x, r * columns + p.column);
      if (wins(v, (u32)r, best, best_row)) {
        best = v;
        best_row = (u32)r;
      }
    }
  tile[threadIdx.y][threadIdx.x] = best;
  rows[threadIdx.y][threadIdx.x] = best_row;
  __syncthreads();
  best = 0.0f;
  best_row = NO_ROW;
  for (int y = 0; y < TILE_ROWS; ++y)
    if (wins(tile[y][threadIdx.x], rows[y][threadIdx.x], best, best_row)) {
      best = tile[y][threadIdx.x];
      best_row = rows[y][threadIdx.x];
    }
  __syncthreads();
  return best_row;
}

// Sum, or mean where `mean` is set; 0 for an empty bag.
template <typename T>
SHARED_FN void segment_sum(Tile *tile, const T *x, const u32 *offsets, T *out, u32 columns, u32 mean) {
  const Place p = place(offsets, columns);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += load(x, r * columns + p.column);
  const float sum = tile_sum(tile, part);
  if (p.inside && threadIdx.y == 0) {
    const float weight = mean && p.end > p.first ? 1.0f / (float)(p.end - p.first) : 1.0f;
    store(out, p.bag * columns + p.column, sum * weight);
  }
}
template <typename T>
SHARED_FN void segment_sum_grad(const T *g, const u32 *offsets, T *dx, u32 columns, u32 mean) {
  const Place p = place(offsets, columns);
  if (!p.inside) return;
  const float weight = mean && p.end > p.first ? 1.0f / (float)(p.end - p.first) : 1.0f;
  const float v = load(g, p.bag * columns + p.column) * weight;
  EACH_ROW(p, r) store(dx, r * columns + p.column, v);
}

// Mean of softplus.
template <typename T>
SHARED_FN void segment_softplus(Tile *tile, const T *z, const u32 *offsets, T *out, u32 columns, float beta) {
  const Place p = place(offsets, columns);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += softplus_value(load(z, r * columns + p.column), beta);
  const float sum = tile_sum(tile, part);
  if (p.inside && threadIdx.y == 0) {
    const float weight = p.end > p.first ? 1.0f / (float)(p.end - p.first) : 0.0f;
    store(out, p.bag * columns + p.column, sum * weight);
  }
}
template <typename T>
SHARED_FN void segment_softplus_grad(const T *z, const T *g, const u32 *offsets, T *dz, u32 columns, float beta) {
  const Place p = place(offsets, columns);
  if (!p.inside || p.end <= p.first) return;
  const float v = load(g, p.bag * columns + p.column) * (1.0f / (float)(p.end - p.first));
  EACH_ROW(p, r) {
    const size_t i = r * columns + p.column;
    store(dz, i, v * softplus_slope(load(z, i), beta));
  }
}

// Sum of rows times their weights.
template <typename T>
SHARED_FN void segment_weighted(Tile *tile, const T *x, const T *w, const u32 *offsets, T *out, u32 columns) {
  const Place p = place(offsets, columns);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += load(w, r) * load(x, r * columns + p.column);
  const float sum = tile_sum(tile, part);
  if (p.inside && threadIdx.y == 0) store(out, p.bag * columns + p.column, sum);
}
template <typename T>
SHARED_FN void segment_weighted_by_x(const T *w, const T *g, const u32 *offsets, T *dx, u32 columns) {
  const Place p = place(offsets, columns);
  if (!p.inside) return;
  const float v = load(g, p.bag * columns + p.column);
  EACH_ROW(p, r) store(dx, r * columns + p.column, load(w, r) * v);
}
// Grid (bags): a row's product with its bag's gradient, 32 threads to a row.
template <typename T>
SHARED_FN void segment_weighted_by_w(Tile *tile, const T *x, const T *g, const u32 *offsets, T *dw, u32 columns) {
  const Place p = place(offsets, columns);
  // All threads of a block take the same number of turns: there is a barrier in them.
  for (size_t turn = p.first; turn < p.end; turn += TILE_ROWS) {
    const size_t r = turn + threadIdx.y;
    float part = 0.0f;
    if (r < p.end)
      for (size_t c = threadIdx.x; c < columns; c += TILE_COLUMNS)
        part += load(x, r * columns + c) * load(g, p.bag * columns + c);
    tile[threadIdx.y][threadIdx.x] = part;
    __syncthreads();
    if (threadIdx.x == 0 && r < p.end) {
      float sum = 0.0f;
      for (int c = 0; c < TILE_COLUMNS; ++c) sum += tile[threadIdx.y][c];
      store(dw, r, sum);
    }
    __syncthreads();
  }
}

// Maximum; 0 for an empty bag.
template <typename T>
SHARED_FN void segment_max(
    Tile *tile, u32 (*rows)[TILE_COLUMNS], const T *x, const u32 *offsets, T *out, u32 columns) {
  const Place p = place(offsets, columns);
  const u32 row = winning_row(tile, rows, x, p, columns);
  if (p.inside && threadIdx.y == 0)
    store(out, p.bag * columns + p.column, row == NO_ROW ? 0.0f : load(x, (size_t)row * columns + p.column));
}
template <typename T>
SHARED_FN void segment_max_grad(
    Tile *tile, u32 (*rows)[TILE_COLUMNS], const T *x, const T *g, const u32 *offsets, T *dx, u32 columns) {
  const Place p = place(offsets, columns);
  const u32 row = winning_row(tile, rows, x, p, columns);
  if (!p.inside) return;
  const float v = load(g, p.bag * columns + p.column);
  EACH_ROW(p, r) store(dx, r * columns + p.column, r == row ? v : 0.0f);
}

// exp(x) over its sum in the bag, with the maximum taken off first.
template <typename T>
SHARED_FN void segment_softmax(
    Tile *tile, u32 (*rows)[TILE_COLUMNS], const T *x, const u32 *offsets, T *y, u32 columns) {
  const Place p = place(offsets, columns);
  const u32 row = winning_row(tile, rows, x, p, columns);
  const bool some = p.inside && row != NO_ROW;
  const float top = some ? load(x, (size_t)row * columns + p.column) : 0.0f;
  float part = 0.0f;
  if (some) EACH_ROW(p, r) part += exp_of(load(x, r * columns + p.column) - top);
  const float sum = tile_sum(tile, part);
  if (some)
    EACH_ROW(p, r) {
      const size_t i = r * columns + p.column;
      store(y, i, exp_of(load(x, i) - top) / sum);
    }
}
template <typename T>
SHARED_FN void segment_softmax_grad(Tile *tile, const T *y, const T *g, const u32 *offsets, T *dx, u32 columns) {
  const Place p = place(offsets, columns);
  float part = 0.0f;
  if (p.inside) EACH_ROW(p, r) part += load(y, r * columns + p.column) * load(g, r * columns + p.column);
  const float sum = tile_sum(tile, part);
  if (p.inside)
    EACH_ROW(p, r) {
      const size_t i = r * columns + p.column;
      store(dx, i, load(y, i) * (load(g, i) - sum));
    }
}

#define TILE __shared__ float tile[TILE_ROWS][TILE_COLUMNS];
#define ROWS __shared__ u32 rows[TILE_ROWS][TILE_COLUMNS];
#define SEGMENT_KERNELS(T, type)                                                                                     \
  extern "C" __global__ void segment_sum_##type(                                                                     \
      const T *x, const u32 *offsets, T *out, u32 columns, u32 mean) {                                               \
    TILE segment_sum(tile, x, offsets, out, columns, mean);                                                          \
  }                                                                                                                  \
  extern "C" __global__ void segment_sum_grad_##type(                                                                \
      const T *g, const u32 *offsets, T *dx, u32 columns, u32 mean) {                                                \
    segment_sum_grad(g, offsets, dx, columns, mean);                                                                 \
  }                                                                                                                  \
  extern "C" __global__ void segment_softplus_##type(                                                                \
      const T *z, const u32 *offsets, T *out, u32 columns, float beta) {                                             \
    TILE segment_softplus(tile, z, offsets, out, columns, beta);                                                     \
  }                                                                                                                  \
  extern "C" __global__ void segment_softplus_grad_##type(                                                           \
      const T *z, const T *g, const u32 *offsets, T *dz, u32 columns, float beta) {                                  \
    segment_softplus_grad(z, g, offsets, dz, columns, beta);                                                         \
  }                                                                                                                  \
  extern "C" __global__ void segment_weighted_##type(                                                                \
      const T *x, const T *w, const u32 *offsets, T *out, u32 columns) {                                             \
    TILE segment_weighted(tile, x, w, offsets, out, columns);                                                        \
  }                                                                                                                  \
  extern "C" __global__ void segment_weighted_by_x_##type(                                                           \
      const T *w, const T *g, const u32 *offsets, T *dx, u32 columns) {                                              \
    segment_weighted_by_x(w, g, offsets, dx, columns);                                                               \
  }                                                                                                                  \
  extern "C" __global__ void segment_weighted_by_w_##type(                                                           \
      const T *x, const T *g, const u32 *offsets, T *dw, u32 columns) {                                              \
    TILE segment_weighted_by_w(tile, x, g, offsets, dw, columns);                                                    \
  }                                                                                                                  \
  extern "C" __global__ void segment_max_##type(const T *x, const u32 *offsets, T *out, u32 columns) {               \
    TILE ROWS segment_max(tile, rows, x, offsets, out, columns);                                                     \
  }                                                                                                                  \
  extern "C" __global__ void segment_max_grad_##type(                                                                \
      const T *x, const T *g, const u32 *offsets, T *dx, u32 columns) {                                              \
    TILE ROWS segment_max_grad(tile, rows, x, g, offsets, dx, columns);                                              \
  }                                                                                                                  \
  extern "C" __global__ void segment_softmax_##type(const T *x, const u32 *offsets, T *y, u32 columns) {             \
    TILE ROWS segment_softmax(tile, rows, x, offsets, y, columns);                                                   \
  }                                                                                                                  \
  extern "C" __global__ void segment_softmax_grad_##type(                                                            \
      const T *y, const T *g, const u32 *offsets, T *dx, u32 columns) {                                              \
    TILE segment_softmax_grad(tile, y, g, offsets, dx, columns);                                                     \
  }
SEGMENT_KERNELS(float, f32)
SEGMENT_KERNELS(bf16, bf16)
