#!/bin/sh
# Fills the corpora of the fuzz targets from the tests' files.
set -eu
cd "$(dirname "$0")"
files=../tests/import
mkdir -p corpus/json corpus/table corpus/parquet corpus/wkb corpus/labels
cp $files/*.json corpus/json/
cp $files/*.parquet corpus/parquet/
cp $files/labels* corpus/labels/
printf '%s' '[{"type": "Feature", "id": 1, "geometry": {"type": "MultiPolygon", "coordinates": [[[[0, 0], [9, 0], [9, 9], [0, 0]], [[1, 1], [2, 1], [2, 2]]]]}, "nucleusGeometry": null, "properties": {"objectType": "annotation", "classification": {"names": ["a", "b"]}, "measurements": [{"name": "Detection probability", "value": 0.5}]}}]' >corpus/json/features
printf '\0%s\n' '1,2,a,b,0.5,7' >corpus/table/centroids
printf '\1%s\n' '1	2	3' >corpus/table/microns
printf '\2%s\n' 'a,1,2,1
a,3,2,1
a,3,4,1
b,1,1,2' >corpus/table/boundaries
printf '\3%s\n' '"Centroid X px";"Centroid Y px"
1;2' >corpus/table/header
printf '\001\003\000\000\000\001\000\000\000\003\000\000\000%048d' 0 >corpus/wkb/polygon
printf '\000\000\000\000\001%016d' 0 >corpus/wkb/point
printf '\001\006\000\000\000\001\000\000\000\001\003\000\000\000\001\000\000\000\003\000\000\000%048d' 0 >corpus/wkb/multipolygon
