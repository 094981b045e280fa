// The little of CUDA that C++ lacks.
#pragma once
#include "emulator.h"
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ EMULATOR_SHARED
#define __syncthreads() emulator::Launch::barrier()
#define threadIdx emulator::thread_index
#define blockIdx emulator::block_index
static inline float __uint_as_float(unsigned int bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static inline unsigned int __float_as_uint(float x) {
  unsigned int bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
