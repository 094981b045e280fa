#!/usr/bin/env bash
# What can be checked of the GPU code without a GPU; not part of CI, for it wants nvcc (2 GB) or a patched objc2.
#   check-gpu.sh ptx               compiles the CUDA kernels with $NVCC (or nvcc) for sm_80 and later, and lists them
#   check-gpu.sh cuda              type-checks the CUDA host code; candle's own build wants nvcc and CUDA_COMPUTE_CAP
#   check-gpu.sh metal WRAPPER     type-checks the Metal host code on Linux; WRAPPER is a RUSTC_WRAPPER that leaves the
#                                  frameworks out of objc2 (on a Mac: cargo test --features metal)
# On a machine with a GPU: cargo test --release -p scellst-kernels --features cuda (or metal) --test devices
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
case "${1:-ptx}" in
  ptx)
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    # In the order of src/source.rs.
    (cd "$here/kernels" && cat common.h segment.cu activation.cu training.cu) > "$tmp/kernels.cu"
    for arch in 80 90; do
      "${NVCC:-nvcc}" -ptx -O3 -std=c++17 -arch=compute_$arch -Werror all-warnings -o "$tmp/$arch.ptx" "$tmp/kernels.cu"
      echo "compute_$arch: $(grep -c '\.visible \.entry' "$tmp/$arch.ptx") kernels"
    done
    ;;
  cuda) cargo check --release -p scellst-kernels --features cuda --tests ;;
  metal) RUSTC_WRAPPER=${2:?the wrapper} cargo check --release -p scellst-kernels --features metal ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
