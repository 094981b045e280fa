#!/usr/bin/env bash
# Fills the corpus with small real files; what is not there is left out.
set -euo pipefail
cd "$(dirname "$0")"
data=${SCELLST_SHARED_DATA:-../../../../shared/data}
mkdir -p corpus/{directories,tiles,ndpi,dicom}
find "$data/wsi" ../tests/data -type f \( -name '*.tif*' -o -name '*.svs' -o -name '*.jpg' -o -name '*.png' \) -size -200k \
    -exec cp -n {} corpus/directories/ \; 2>/dev/null || true
cargo run --quiet --release --example ndpi_seed corpus/ndpi/small.ndpi
find ../tests/data -type f -name '*.dcm' -size -200k -exec cp -n {} corpus/dicom/ \; 2>/dev/null || true
