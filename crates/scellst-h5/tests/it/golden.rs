//! The real sections against what h5py reads (see tests/data/make_golden.py). Counts and coordinates
//! are the stored bits, so all but sums of coordinates are compared for equality.

use scellst_h5::{read_h5ad, read_matrix};
use serde_json::Value;

use crate::common::{data, real_sections};

#[test]
fn real_sections_have_the_numbers_that_h5py_reads() {
    let Some(dir) = real_sections() else { return };
    let golden = std::fs::read_to_string(data().join("golden_sections.json")).unwrap();
    let golden: serde_json::Map<String, Value> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 4);
    for (name, golden) in golden {
        let path = dir.join(format!("{name}.h5ad"));
        let section = read_h5ad(&path).unwrap();
        let counts = section.expression.counts();
        let number = |key: &str| golden[key].as_f64().unwrap();
        assert_eq!(golden["shape"], serde_json::json!([counts.rows(), counts.cols()]));
        assert_eq!(counts.nnz() as f64, number("nnz"));
        let sums = section.expression.counts_per_observation();
        assert_eq!(sums.iter().sum::<f64>(), number("sum"));
        assert_eq!(golden["row_sums"], serde_json::json!([sums[0], sums[sums.len() - 1]]));

        let (genes, spots) = (section.expression.genes(), section.expression.observations());
        assert_eq!(golden["first_genes"], serde_json::json!(genes[..3]));
        assert_eq!(golden["last_genes"], serde_json::json!(genes[genes.len() - 3..]));
        assert_eq!(golden["first_spots"], serde_json::json!(spots[..3]));
        assert_eq!(golden["last_spots"], serde_json::json!(spots[spots.len() - 3..]));

        let places = section.require_spatial().unwrap();
        let (first, last) = (places[0], places[places.len() - 1]);
        assert_eq!(golden["first_place"], serde_json::json!([first.x, first.y]));
        assert_eq!(golden["last_place"], serde_json::json!([last.x, last.y]));
        let sum = places.iter().fold([0.0, 0.0], |[x, y], p| [x + p.x, y + p.y]);
        for axis in 0..2 {
            // The order of summation differs.
            let expected = golden["place_sum"][axis].as_f64().unwrap();
            assert!((sum[axis] - expected).abs() <= 1e-12 * expected.abs());
        }
        assert_eq!(section.require_spot_diameter_px().unwrap(), number("spot_diameter"));
        assert_eq!(section.library_id.as_deref(), Some("ST"));

        let dense = read_matrix(&path, None).unwrap();
        for entry in golden["entries"].as_array().unwrap() {
            let [row, column] = [0, 1].map(|i| entry[i].as_u64().unwrap() as usize);
            assert_eq!(f64::from(dense.values[[row, column]]), entry[2].as_f64().unwrap());
            let (columns, values) = counts.row(row);
            let k = columns.iter().position(|&c| c as usize == column).unwrap();
            assert_eq!(f64::from(values[k]), entry[2].as_f64().unwrap());
        }
        assert_eq!(dense.obs.numeric["in_tissue"].len(), counts.rows());
    }
}
