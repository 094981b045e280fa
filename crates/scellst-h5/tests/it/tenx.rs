//! Space Ranger, Cell Ranger, Xenium and legacy tables: against what Python reads (see tests/data/make_golden_tenx.py),
//! and small ones that say what must be refused.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scellst_expr::{DuplicateGenes, GeneNaming, PlacementDoubt, PlacementEvidence, check_placement};
use scellst_h5::{CountsFormat, CountsOptions, H5Error, SpatialCounts, read_counts, read_counts_with};
use scellst_types::{Point, SpotShape};
use serde_json::{Value, json};

use crate::common::{data, real_tenx};

fn options(change: impl FnOnce(&mut CountsOptions)) -> CountsOptions {
    let mut options = CountsOptions::default();
    change(&mut options);
    options
}

fn check(counts: &SpatialCounts, golden: &Value, name: &str) {
    let matrix = counts.expression.counts();
    assert_eq!(golden["shape"], json!([matrix.rows(), matrix.cols()]), "{name}");
    assert_eq!(golden["nnz"], json!(matrix.nnz()), "{name}");
    let sums = counts.expression.counts_per_observation();
    assert_eq!(golden["sum"], json!(sums.iter().sum::<f64>()), "{name}");
    assert_eq!(golden["row_sums"], json!([sums[0], sums[sums.len() - 1]]), "{name}");
    let (genes, spots) = (counts.expression.genes(), counts.expression.observations());
    assert_eq!(golden["first_names"], json!(genes[..3]), "{name}");
    assert_eq!(golden["barcodes"], json!([spots[0], spots[spots.len() - 1]]), "{name}");
    if !counts.gene_ids.is_empty() {
        assert_eq!(golden["last_ids"], json!(counts.gene_ids[genes.len() - 3..]), "{name}");
    }
    for entry in golden["entries"].as_array().unwrap() {
        let [row, column] = [0, 1].map(|i| entry[i].as_u64().unwrap() as usize);
        let (columns, values) = matrix.row(row);
        let k = columns.iter().position(|&c| c as usize == column).unwrap();
        assert_eq!(json!(f64::from(values[k])), entry[2], "{name}");
    }
    if golden.get("place_sum").is_some() {
        let (places, array) = (counts.require_spatial().unwrap(), counts.array.as_ref().unwrap());
        let (first, last) = (places[0], places[places.len() - 1]);
        assert_eq!(golden["first_place"], json!([first.x, first.y]), "{name}");
        assert_eq!(golden["last_place"], json!([last.x, last.y]), "{name}");
        let sum = places.iter().fold([0.0, 0.0], |[x, y], p| [x + p.x, y + p.y]);
        for axis in 0..2 {
            // The order of summation differs.
            let expected = golden["place_sum"][axis].as_f64().unwrap();
            assert!((sum[axis] - expected).abs() <= 1e-12 * expected.abs(), "{name}");
        }
        let last = array[array.len() - 1];
        assert_eq!(golden["last_array"], json!([last.0, last.1]), "{name}");
        let inside = counts.in_tissue.as_ref().unwrap().iter().filter(|t| **t).count();
        assert_eq!(golden["in_tissue"], json!(inside), "{name}");
        let factors = counts.scale_factors.unwrap();
        assert_eq!(golden["scale_factors"]["spot_diameter_fullres"], json!(factors.spot_diameter_fullres), "{name}");
        assert_eq!(golden["scale_factors"]["tissue_hires_scalef"], json!(factors.tissue_hires_scalef), "{name}");
        assert_eq!(golden["scale_factors"]["microns_per_pixel"], json!(counts.mpp), "{name}");
    }
}

#[test]
fn real_files_have_the_numbers_that_python_reads() {
    let Some(dir) = real_tenx() else { return };
    let golden = std::fs::read_to_string(data().join("golden_tenx.json")).unwrap();
    let golden: serde_json::Map<String, Value> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 9);
    for (name, golden) in golden {
        let path = dir.join(&name);
        let all = options(|o| o.min_qv = if name.ends_with("parquet") { None } else { Some(20.0) });
        let counts = read_counts_with(&path, &all).unwrap_or_else(|e| panic!("{name}: {e}"));
        check(&counts, &golden, &name);
        match &name[..] {
            "Xenium_small" => {
                assert_eq!(counts.format, CountsFormat::Xenium);
                let centres: Vec<[f64; 2]> = counts.spatial_um.unwrap().iter().map(|p| [p.x, p.y]).collect();
                assert_eq!(golden["centroids"], json!(centres));
            }
            "xenium-rep1-transcripts/part.7.parquet" => {
                assert_eq!(counts.format, CountsFormat::XeniumTranscripts);
                let said = counts.transcripts.unwrap();
                assert_eq!(golden["controls"], json!(said.controls));
                assert_eq!(golden["unassigned"], json!(said.unassigned));
                assert_eq!(said.all, said.counted + said.poor + said.controls + said.unassigned);
                let mut names: Vec<&String> = counts.left_out.kinds.iter().flat_map(|k| &k.names).collect();
                names.sort();
                assert_eq!(golden["control_names"], json!(names));
                let first = counts.spatial_um.unwrap()[0];
                for (ours, theirs) in [(first.x, &golden["first_centre"][0]), (first.y, &golden["first_centre"][1])] {
                    assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-9);
                }
                // Without qualities nothing is taken for good.
                let error = read_counts(&path).unwrap_err();
                assert!(error.to_string().contains("'qv'") && error.to_string().contains("min_qv"), "{error}");
            }
            _ if name.contains("square_002um") => {
                assert_eq!(counts.format, CountsFormat::VisiumHd);
                let spots = counts.spots.unwrap();
                assert_eq!((spots.shape, spots.um, spots.pitch_um), (SpotShape::Square, Some(2.0), Some(2.0)));
                assert_eq!(spots.px, Some(7.303953797779634));
            }
            _ => {
                assert_eq!(counts.format, CountsFormat::SpaceRanger);
                if let Some(spots) = counts.spots {
                    assert_eq!((spots.shape, spots.um, spots.pitch_um), (SpotShape::Disc, Some(55.0), Some(100.0)));
                }
            }
        }
    }
    // One bin size of one: its folder is the answer, but the folder above asks.
    let error = read_counts(dir.join("VisiumIO")).unwrap_err();
    assert!(matches!(error, H5Error::Ambiguous { .. }) && error.to_string().contains("square_002um"), "{error}");
    // A folder of `outs` is found by its name, the raw matrix where there is no other.
    let outs = read_counts(dir.join("VisiumIO/10xVisium/section1")).unwrap();
    assert_eq!(outs.expression.counts().nnz(), 344);
    let inside =
        read_counts_with(dir.join("VisiumIO/10xVisium/section1"), &options(|o| o.in_tissue_only = true)).unwrap();
    let kept = inside.expression.observations().len();
    assert_eq!(kept, outs.in_tissue.unwrap().iter().filter(|t| **t).count());
    assert!(kept < 50 && inside.spatial.unwrap().len() == kept && inside.array.unwrap().len() == kept);
}

#[test]
fn real_arrays_lie_as_they_should_and_swapped_ones_do_not() {
    let Some(dir) = real_tenx() else { return };
    for name in ["scanpy-visium-1.0.0", "spaceranger3-full-mtx", "VisiumIO/10xVisium/section1"] {
        let counts = read_counts(dir.join(name)).unwrap();
        let centres = counts.require_spatial().unwrap();
        let reach = centres.iter().fold([0.0f64; 2], |[x, y], p| [x.max(p.x), y.max(p.y)]);
        // The pitch is measured where spots have neighbours; the toy sections have 50 and 100 spots.
        let whole = name == "spaceranger3-full-mtx";
        let fiducials = counts.scale_factors.unwrap().fiducial_diameter_fullres.unwrap();
        let evidence = PlacementEvidence {
            slide_px: [reach[0] + 300.0, reach[1] + 300.0],
            // A fiducial mark is 105 um wide.
            mpp: whole.then_some(105.0 / fiducials),
            pitch_um: Some(100.0),
            array: counts.array.as_deref(),
            hires_scale: counts.scale_factors.unwrap().tissue_hires_scalef,
            ..PlacementEvidence::default()
        };
        assert_eq!(check_placement(centres, &evidence), None, "{name}");
        let swapped: Vec<_> = centres.iter().map(|p| Point::new(p.y, p.x)).collect();
        let doubt = check_placement(&swapped, &evidence).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Swapped { by_array: true, .. }), "{name}: {doubt}");
        if whole {
            let scale = evidence.hires_scale.unwrap();
            let hires: Vec<_> = centres.iter().map(|p| Point::new(p.x * scale, p.y * scale)).collect();
            let doubt = check_placement(&hires, &evidence).unwrap();
            assert!(matches!(doubt, PlacementDoubt::Scaled { hires: true, .. }), "{doubt}");
        }
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

const FEATURES: &str = "ENSG1\tEPCAM\tGene Expression\nENSG2\tVIM\tGene Expression\nENSG3\tEPCAM\tGene Expression\nAb1\tCD3\tAntibody Capture\n";
const MATRIX: &str =
    "%%MatrixMarket matrix coordinate integer general\n%\n4 3 6\n3 2 5\n1 1 2\n4 1 9\n2 3 1\n1 2 1\n2 1 0\n";
const POSITIONS: &str = "c-1,1,0,2,30,10.5\na-1,1,0,0,20,10\nb-1,0,1,1,40,50\nz-1,0,9,9,0,0\n";

#[test]
fn a_folder_of_matrix_market() {
    let dir = folder(&[
        ("outs/filtered_feature_bc_matrix/matrix.mtx", MATRIX),
        ("outs/filtered_feature_bc_matrix/features.tsv", FEATURES),
        ("outs/filtered_feature_bc_matrix/barcodes.tsv", "a-1\nb-1\nc-1\n"),
        ("outs/spatial/tissue_positions_list.csv", POSITIONS),
    ]);
    let counts = read_counts(dir.path()).unwrap();
    assert_eq!(counts.expression.genes(), ["EPCAM", "VIM", "EPCAM-1"]);
    assert_eq!(counts.gene_ids, ["ENSG1", "ENSG2", "ENSG3"]);
    let expected = ndarray::array![[2.0f32, 0., 0.], [1., 0., 5.], [0., 1., 0.]];
    assert_eq!(counts.expression.counts().to_dense().unwrap(), expected);
    assert_eq!(counts.expression.counts().nnz(), 4);
    let places: Vec<[f64; 2]> = counts.require_spatial().unwrap().iter().map(|p| [p.x, p.y]).collect();
    assert_eq!(places, [[10.0, 20.0], [50.0, 40.0], [10.5, 30.0]]);
    assert_eq!(counts.in_tissue, Some(vec![true, false, true]));
    let left = &counts.left_out.kinds[0];
    assert_eq!((&left.kind[..], &left.names[..], left.counts), ("Antibody Capture", &["CD3".to_owned()][..], 9.0));
    assert!(counts.left_out.to_string().contains("1 features of the kind 'Antibody Capture'"));

    let summed = read_counts_with(dir.path(), &options(|o| o.duplicates = DuplicateGenes::Sum)).unwrap();
    assert_eq!(summed.expression.genes(), ["EPCAM", "VIM"]);
    let expected = ndarray::array![[2.0f32, 0.], [6., 0.], [0., 1.]];
    assert_eq!(summed.expression.counts().to_dense().unwrap(), expected);
    let ids = read_counts_with(dir.path(), &options(|o| o.names = GeneNaming::Id)).unwrap();
    assert_eq!(ids.expression.genes(), ["ENSG1", "ENSG2", "ENSG3"]);
    // The file itself leads to its folder.
    let path = dir.path().join("outs/filtered_feature_bc_matrix/matrix.mtx");
    assert_eq!(read_counts(path).unwrap().expression, counts.expression);
}

#[test]
fn folders_of_cell_ranger_2() {
    let genes = "ENSG1\tEPCAM\nENSG2\tVIM\n";
    let matrix = "%%MatrixMarket matrix coordinate real general\n2 1 1\n2 1 3.0\n";
    let files = |genome: &str| {
        let place = |name: &str| format!("filtered_gene_bc_matrices/{genome}/{name}");
        [(place("genes.tsv"), genes), (place("barcodes.tsv"), "a-1\n"), (place("matrix.mtx"), matrix)]
    };
    let (hg, mm) = (files("hg19"), files("mm10"));
    let one = folder(&hg.each_ref().map(|(n, t)| (&n[..], *t)));
    let counts = read_counts(one.path()).unwrap();
    assert_eq!(counts.expression.counts().to_dense().unwrap(), ndarray::array![[0.0f32, 3.0]]);
    assert!(counts.require_spatial().unwrap_err().to_string().contains("tissue_positions"));
    let both: Vec<(&str, &str)> = hg.iter().chain(&mm).map(|(n, t)| (&n[..], *t)).collect();
    let error = read_counts(folder(&both).path()).unwrap_err();
    assert!(matches!(error, H5Error::Ambiguous { .. }) && error.to_string().contains("'hg19', 'mm10'"), "{error}");
}

fn fixture(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = crate::common::fixtures();
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn several_genomes_are_asked_for() {
    for name in ["tenx_v2_two_genomes.h5", "tenx_v3_two_genomes.h5"] {
        let (_dir, path) = fixture(name);
        let error = read_counts(&path).unwrap_err();
        assert!(matches!(error, H5Error::Ambiguous { .. }), "{error}");
        assert!(error.to_string().contains("'hg19', 'mm10'") && error.to_string().contains("genome"), "{error}");
        let mouse = read_counts_with(&path, &options(|o| o.genome = Some("mm10".into()))).unwrap();
        assert_eq!(mouse.expression.genes(), ["Epcam", "Vim"], "{name}");
        assert_eq!(mouse.expression.counts().to_dense().unwrap(), ndarray::array![[0.0f32, 3.0], [4.0, 0.0]], "{name}");
        let error = read_counts_with(&path, &options(|o| o.genome = Some("rn6".into()))).unwrap_err();
        assert!(error.to_string().contains("'rn6'") && error.to_string().contains("'hg19', 'mm10'"), "{error}");
    }
}

#[test]
fn xenium_controls_are_named_and_counted() {
    let (_dir, path) = fixture("xenium_cell_feature_matrix.h5");
    let counts = read_counts(&path).unwrap();
    assert_eq!(counts.format, CountsFormat::Xenium);
    assert_eq!(counts.expression.genes(), ["ABCC11", "ACTA2"]);
    assert_eq!(counts.expression.counts().to_dense().unwrap(), ndarray::array![[1.0f32, 2.0], [0.0, 3.0]]);
    let kinds: Vec<(&str, usize, f64)> =
        counts.left_out.kinds.iter().map(|k| (&k.kind[..], k.names.len(), k.counts)).collect();
    assert_eq!(
        kinds,
        [("Negative Control Codeword", 1, 5.0), ("Negative Control Probe", 2, 7.0), ("Unassigned Codeword", 1, 0.0)]
    );
    assert_eq!(counts.left_out.kinds[1].names, ["NegControlProbe_00001", "NegControlProbe_00002"]);
}

#[test]
fn transcripts_by_quality_cell_and_kind() {
    for name in ["xenium_transcripts.parquet", "xenium_transcripts_v3.parquet"] {
        let (_dir, path) = fixture(name);
        let counts = read_counts(&path).unwrap();
        assert_eq!(counts.expression.genes(), ["ACTA2", "EPCAM"], "{name}");
        assert_eq!(counts.expression.observations(), ["aaaa-1", "bbbb-1"], "{name}");
        assert_eq!(counts.expression.counts().to_dense().unwrap(), ndarray::array![[1.0f32, 2.0], [0.0, 1.0]]);
        let said = counts.transcripts.unwrap();
        assert_eq!((said.all, said.counted, said.poor, said.controls, said.unassigned), (9, 4, 2, 2, 1), "{name}");
        assert_eq!(counts.spatial_um.unwrap()[1], Point::new(7.0, 8.0));
        // With the poor ones.
        let all = read_counts_with(&path, &options(|o| o.min_qv = None)).unwrap();
        assert_eq!(all.expression.counts_per_observation().iter().sum::<f64>(), 6.0);
    }
}

const COUNTS: &str = "\tEPCAM\tVIM\n10x13\t3\t0\n11x13\t0\t2\n12x13\t1\t1\n";
const SPOTS: &str = "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n10\t13\t10.02\t12.97\t100.5\t200\t1\n11\t13\t11.1\t13.0\t300\t201\t1\n12\t13\t12.0\t13.0\t500\t202\t0\n";

#[test]
fn legacy_tables() {
    let dir = folder(&[
        ("ST-cnts/A1.tsv", COUNTS),
        ("ST-spotfiles/A1_selection.tsv", SPOTS),
        ("alone/A2.tsv", "gene,10x13,11x13\nEPCAM,3,0\nVIM,0,2\n"),
        ("adjusted/A1.tsv", "\tEPCAM\tVIM\n10.02x12.97\t3\t0\n"),
    ]);
    let counts = read_counts(dir.path().join("ST-cnts/A1.tsv")).unwrap();
    assert_eq!(counts.format, CountsFormat::LegacySt);
    assert_eq!(counts.expression.observations(), ["10x13", "11x13"]);
    assert_eq!(counts.expression.counts().to_dense().unwrap(), ndarray::array![[3.0f32, 0.0], [0.0, 2.0]]);
    let places: Vec<[f64; 2]> = counts.require_spatial().unwrap().iter().map(|p| [p.x, p.y]).collect();
    assert_eq!(places, [[100.5, 200.0], [300.0, 201.0]]);
    assert_eq!(counts.array, Some(vec![(13, 10), (13, 11)]));
    assert_eq!(counts.spots.unwrap().pitch_um, Some(200.0));
    // Turned round, comma between, and without places.
    let alone = read_counts(dir.path().join("alone/A2.tsv")).unwrap();
    assert_eq!(alone.expression.counts().to_dense().unwrap(), ndarray::array![[3.0f32, 0.0], [0.0, 2.0]]);
    assert!(alone.require_spatial().unwrap_err().to_string().contains("pixel_x"));
    let with = options(|o| o.positions = Some(dir.path().join("ST-spotfiles/A1_selection.tsv")));
    let adjusted = read_counts_with(dir.path().join("adjusted/A1.tsv"), &with).unwrap();
    assert_eq!(adjusted.require_spatial().unwrap()[0], Point::new(100.5, 200.0));
}

/// What must be refused, with the words that say why.
#[test]
fn broken_text_files() {
    let matrix =
        |text: &'static str| [("matrix.mtx", text), ("features.tsv", FEATURES), ("barcodes.tsv", "a-1\nb-1\nc-1\n")];
    let cases: [(&str, &str); 10] = [
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n5 1 1\n", "entry 5, 1 of a matrix of 4 x 3"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n0 1 1\n", "entry 0, 1"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n1 1 -1\n", "a count of -1"),
        ("%%MatrixMarket matrix coordinate real general\n4 3 1\n1 1 nan\n", "a count of NaN"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 2\n1 1 1\n", "ends after 1 of 2"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n1 1 1\n2 1 1\n", "more than the 1 entries"),
        ("%%MatrixMarket matrix coordinate integer general\n4 9 1\n1 1 1\n", "4 x 3 was expected"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 99999999999999\n1 1 1\n", "allowed"),
        ("%%MatrixMarket matrix array real general\n4 3\n", "a coordinate matrix"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n1 1 1 1\n", "feature, barcode and count"),
    ];
    for (text, words) in cases {
        let error = read_counts(folder(&matrix(text)).path()).unwrap_err().to_string();
        assert!(error.contains(words), "'{words}' not in: {error}");
        assert_eq!(error.lines().count(), 1);
    }
    let positions = |text: &'static str| {
        let mut files = matrix(MATRIX).to_vec();
        files.push(("spatial/tissue_positions.csv", text));
        read_counts(folder(&files).path()).unwrap_err().to_string()
    };
    for (text, words) in [
        (
            "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\na-1,1,0,0,1,1\n",
            "2 of 3 barcodes",
        ),
        ("a-1,1,0,0,1,1\na-1,1,0,0,1,1\n", "line 2: broken file: the barcode a-1 is there twice"),
        ("a-1,1,0,0,1\n", "line 1"),
        ("a-1,1,0,0,nan,1\n", "NaN"),
        ("barcode,in_tissue,row\n", "'array_row'"),
    ] {
        let error = positions(text);
        assert!(error.contains(words), "'{words}' not in: {error}");
    }
    let table = |text: &'static str| {
        let dir = folder(&[("t.tsv", text)]);
        read_counts(dir.path().join("t.tsv")).unwrap_err().to_string()
    };
    assert!(table("\tA\tB\n1x1\t3\tx\n").contains("line 2: broken file: column 3"));
    assert!(table("\tA\tB\n1x1\t3\n").contains("2 counts were expected"));
    assert!(table("\tA\tB\nspot\t3\t1\n").contains("10x13"));
    assert!(table("nothing\n").contains("neither"));
    let packed = folder(&matrix(MATRIX));
    std::fs::write(packed.path().join("barcodes.tsv"), b"\x1f\x8b\x08\x00truncated").unwrap();
    assert!(read_counts(packed.path()).unwrap_err().to_string().contains("barcodes.tsv: line 1: broken"));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read_counts(empty.path()).unwrap_err(), H5Error::Missing { .. }));
    assert!(matches!(read_counts(empty.path().join("no")).unwrap_err(), H5Error::Io { .. }));
}

/// Bytes of sound files changed: an answer or one line, no panic.
#[test]
fn damaged_files_of_every_kind() {
    let dir = crate::common::fixtures();
    let text = folder(&[("t.tsv", COUNTS), ("t_selection.tsv", SPOTS)]);
    let mtx = folder(&[
        ("matrix.mtx", MATRIX),
        ("features.tsv", FEATURES),
        ("barcodes.tsv", "a-1\nb-1\nc-1\n"),
        ("spatial/tissue_positions_list.csv", POSITIONS),
    ]);
    let at = |name: &str| dir.path().join(name);
    let files = [
        (at("tenx_v3_two_genomes.h5"), None),
        (at("xenium_cell_feature_matrix.h5"), None),
        (at("xenium_transcripts.parquet"), None),
        (at("xenium_transcripts_v3.parquet"), None),
        (text.path().join("t.tsv"), None),
        (text.path().join("t_selection.tsv"), Some(text.path().join("t.tsv"))),
        (mtx.path().join("matrix.mtx"), None),
        (mtx.path().join("features.tsv"), Some(mtx.path().to_owned())),
        (mtx.path().join("spatial/tissue_positions_list.csv"), Some(mtx.path().to_owned())),
    ];
    let mut state = 20_261_125u64;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let with = options(|o| o.genome = Some("mm10".into()));
    for (path, read) in files {
        let whole = std::fs::read(&path).unwrap();
        let read: &Path = read.as_deref().unwrap_or(&path);
        let plain = if path.ends_with("tenx_v3_two_genomes.h5") { with.clone() } else { CountsOptions::default() };
        assert!(read_counts_with(read, &plain).is_ok(), "{}", path.display());
        let meaningful = crate::common::outside_of_heaps(&whole);
        let mut refused = 0;
        for _ in 0..120 {
            let mut bytes = whole.clone();
            for _ in 0..1 + next(4) {
                let place = meaningful[next(meaningful.len())];
                bytes[place] = [next(256) as u8, bytes[place] ^ (1 << next(8)), 255, 0][next(4)];
            }
            if next(8) == 0 {
                bytes.truncate(next(whole.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Err(error) = read_counts_with(read, &plain) {
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                assert!(!matches!(error, H5Error::Misuse { .. } | H5Error::Library { .. }), "{error}");
                refused += 1;
            }
        }
        assert!(refused > 10, "{}: only {refused} refused", path.display());
        std::fs::write(&path, &whole).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_small_matrix_market_comes_back(
        entries in prop::collection::btree_map((1usize..6, 1usize..5), 1u32..100_000, 0..20),
        shuffle in any::<u64>(),
    ) {
        let mut lines: Vec<((usize, usize), u32)> = entries.clone().into_iter().collect();
        let n = lines.len().max(1);
        lines.rotate_left((shuffle as usize) % n);
        let body: String = lines.iter().map(|((f, b), v)| format!("{f} {b} {v}\n")).collect();
        let text = format!("%%MatrixMarket matrix coordinate integer general\n5 4 {}\n{body}", lines.len());
        let features: String = (1..6).map(|i| format!("E{i}\tG{i}\tGene Expression\n")).collect();
        let dir = folder(&[("matrix.mtx", &text), ("features.tsv", &features), ("barcodes.tsv", "a\nb\nc\nd\n")]);
        let counts = read_counts(dir.path()).unwrap();
        let dense = counts.expression.counts().to_dense().unwrap();
        for f in 1..6 {
            for b in 1..5 {
                prop_assert_eq!(dense[[b - 1, f - 1]], entries.get(&(f, b)).copied().unwrap_or(0) as f32);
            }
        }
    }

    #[test]
    fn any_text_is_an_answer_or_an_error(text in "(?s)[\t\n,x0-9.%a-c-]{0,200}") {
        let dir = folder(&[("t.tsv", &text)]);
        if let Err(e) = read_counts(dir.path().join("t.tsv")) {
            prop_assert_eq!(e.to_string().lines().count(), 1);
        }
    }
}
