# Nuclei of a whole slide by scikit-image (0.26.0; tifffile 2026.3.3, scipy 1.17.1), beside detect_speed.rs:
#   python detect_speed.py SLIDE MPP [PROCESSES [SIDE]]
# The steps of the untuned detector of ../shared/peers/detect_baseline.py, square by square (2048 px unless told), each
# with its own threshold, without a margin: nuclei on a seam are cut. Glass is not skipped: the script knows no tissue.
import multiprocessing
import resource
import sys
import time

import numpy as np
import tifffile
import zarr
from scipy import ndimage as ndi
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.segmentation import watershed

path, mpp = sys.argv[1], float(sys.argv[2])
processes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
side = int(sys.argv[4]) if len(sys.argv) > 4 else 2048


def detect(rgb):
    h = gaussian(rgb2hed(rgb)[..., 0], 0.5 / mpp)
    m = ndi.binary_fill_holes(ndi.binary_opening(h > threshold_otsu(h), iterations=2))
    d = gaussian(ndi.distance_transform_edt(m), 1.5)
    peaks = peak_local_max(d, min_distance=int(2.5 / mpp), labels=label(m), exclude_border=False)
    seeds = np.zeros(m.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    r = regionprops_table(watershed(-d, seeds, mask=m), properties=("centroid", "area"))
    return int((r["area"] * mpp * mpp > 8).sum())


def level0():
    return zarr.open(tifffile.imread(path, aszarr=True, level=0), mode="r")


def square(corner):
    y, x = corner
    return detect(level0()[y:y + side, x:x + side])


if __name__ == "__main__":
    height, width = level0().shape[:2]
    corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    start = time.perf_counter()
    if processes == 1:
        found = sum(map(square, corners))
    else:
        with multiprocessing.Pool(processes) as pool:
            found = sum(pool.imap_unordered(square, corners, chunksize=1))
    seconds = time.perf_counter() - start
    peak = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(f"{found} objects, {width * height / 1e6:.1f} Mpx, {processes} process(es): {seconds:.1f} s, "
          f"{width * height / 1e6 / seconds:.2f} Mpx/s; peak of a process {peak:.0f} MiB")
