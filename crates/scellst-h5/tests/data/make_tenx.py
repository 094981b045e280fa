"""Writes the small files of 10x Genomics' formats beside this script, packed as the other fixtures are.

Made with: python 3.11, h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6, pandas 3.1.1, pyarrow 26.0.1; run `python make_tenx.py`.
"""

import gzip
import pathlib
import tempfile

import h5py
import numpy as np
import pandas as pd

SCRATCH = tempfile.TemporaryDirectory()
HERE = pathlib.Path(SCRATCH.name)


def matrix(group, dense, barcodes, names):
    """CSC of features x barcodes, as Cell Ranger writes it."""
    columns = [[(i, v) for i, v in enumerate(column) if v] for column in dense]
    flat = [entry for column in columns for entry in column]
    group["barcodes"] = np.array(barcodes, "S")
    group.create_dataset("data", data=np.array([v for _, v in flat], np.int32), chunks=True, compression="gzip")
    group["indices"] = np.array([i for i, _ in flat], np.int64)
    group["indptr"] = np.cumsum([0] + [len(c) for c in columns]).astype(np.int64)
    group["shape"] = np.array([len(names), len(barcodes)], np.int32)


def features(f, names, kinds, genomes):
    g = f["matrix"].create_group("features")
    g["id"] = np.array([f"ID_{n}" for n in names], "S")
    g["name"] = np.array(names, "S")
    g["feature_type"] = np.array(kinds, "S")
    g["genome"] = np.array(genomes, "S")


with h5py.File(HERE / "tenx_v2_two_genomes.h5", "w") as f:
    for genome, names, dense in [
        ("hg19", ["EPCAM", "VIM"], [[1, 2]]),
        ("mm10", ["Epcam", "Vim"], [[0, 3], [4, 0]]),
    ]:
        g = f.create_group(genome)
        matrix(g, dense, [f"b{i}-1" for i in range(len(dense))], names)
        g["genes"] = np.array([f"ENS_{n}" for n in names], "S")
        g["gene_names"] = np.array(names, "S")

with h5py.File(HERE / "tenx_v3_two_genomes.h5", "w") as f:
    names = ["EPCAM", "VIM", "Epcam", "Vim"]
    matrix(f.create_group("matrix"), [[1, 2, 0, 3], [0, 0, 4, 0]], ["a-1", "b-1"], names)
    features(f, names, ["Gene Expression"] * 4, ["hg19", "hg19", "mm10", "mm10"])

with h5py.File(HERE / "xenium_cell_feature_matrix.h5", "w") as f:
    names = ["NegControlProbe_00001", "ABCC11", "NegControlCodeword_0500", "ACTA2", "NegControlProbe_00002", "UnassignedCodeword_0001"]
    kinds = ["Negative Control Probe", "Gene Expression", "Negative Control Codeword", "Gene Expression", "Negative Control Probe", "Unassigned Codeword"]
    matrix(f.create_group("matrix"), [[3, 1, 5, 2, 0, 0], [0, 0, 0, 3, 4, 0]], ["aaaa-1", "bbbb-1"], names)
    features(f, names, kinds, ["Unknown"] * 6)

transcripts = pd.DataFrame(
    [
        ("bbbb-1", "EPCAM", 7.0, 8.0, 30.0),
        ("aaaa-1", "EPCAM", 1.0, 2.0, 20.0),
        ("aaaa-1", "EPCAM", 3.0, 4.0, 40.0),
        ("aaaa-1", "ACTA2", 5.0, 6.0, 25.0),
        ("aaaa-1", "ACTA2", 5.0, 6.0, 19.99),
        ("bbbb-1", "VIM", 0.0, 0.0, 1.0),
        ("UNASSIGNED", "EPCAM", 0.0, 0.0, 35.0),
        ("aaaa-1", "NegControlProbe_00042", 0.0, 0.0, 35.0),
        ("UNASSIGNED", "BLANK_0069", 0.0, 0.0, 35.0),
    ],
    columns=["cell_id", "feature_name", "x_location", "y_location", "qv"],
)
transcripts.astype({"x_location": "f4", "y_location": "f4", "qv": "f4"}).to_parquet(HERE / "xenium_transcripts.parquet", compression="snappy")
# Newer files say themselves what is a gene; here one has a name that does not show it.
newer = transcripts.replace({"NegControlProbe_00042": "Odd_42"})
newer["is_gene"] = ~newer["feature_name"].isin(["Odd_42", "BLANK_0069"])
newer["codeword_category"] = ["predesigned_gene"] * 7 + ["negative_control_probe", "unassigned_codeword"]
newer.to_parquet(HERE / "xenium_transcripts_v3.parquet", compression="zstd")

for path in sorted(HERE.iterdir()):
    packed = gzip.compress(path.read_bytes(), mtime=0)
    (pathlib.Path(__file__).parent / f"{path.name}.gz").write_bytes(packed)
