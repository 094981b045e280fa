//! The files that Python and the check of the layout look at.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, array};
use scellst_expr::{CsrMatrix, Expression};
use scellst_h5::{
    Column, Compression, PredictionHeader, PredictionWriter, SectionParts, SpatialLibrary, write_section,
};
use scellst_types::Point;
use serde_json::json;

/// `pred.h5ad`, `pred_gzip.h5ad`, `section.h5ad`, `empty.h5ad`.
pub fn write(dir: &Path) -> [PathBuf; 4] {
    let paths = ["pred", "pred_gzip", "section", "empty"].map(|n| dir.join(format!("{n}.h5ad")));
    let obs_names = ["cell_0", "größe", "細胞"].map(String::from);
    let var_names = ["EPCAM", "VIM"].map(String::from);
    let spatial = [Point::new(10.5, 20.0), Point::new(30.0, 40.5), Point::new(1e5, 0.25)];
    let thumbnail = Array3::from_shape_fn((4, 5, 3), |(row, column, colour)| (100 * colour + 10 * row + column) as u8);
    let header = PredictionHeader {
        obs_names: &obs_names,
        var_names: &var_names,
        spatial: &spatial,
        obs: vec![
            ("area_um2".into(), Column::F32(vec![41.5, 30.0, 22.25])),
            ("class".into(), Column::Category(vec![Some("tumour".into()), None, Some("stroma".into())])),
            ("outside".into(), Column::Bool(vec![false, true, false])),
            ("spot".into(), Column::I64(vec![-1, 0, 7])),
        ],
        var: vec![("train_variance".into(), Column::F64(vec![0.5, 0.125]))],
        library: Some(SpatialLibrary {
            id: "slide",
            thumbnail: Some(thumbnail.view()),
            thumbnail_scale: 0.25,
            diameter_px: 30.0,
        }),
        uns: json!({
            "scellst": {
                "version": "0.1.0", "mpp": 0.25, "seed": 7, "gpu": false, "nothing": null, "large": u64::MAX,
                "sections": ["C2", "C3"], "empty": [], "text": "", "floats": [0.5, 1.0], "mixed": [1, 0.5],
                "flags": [true, false], "map": {},
            },
        }),
    };
    for (path, compression) in [(&paths[0], None), (&paths[1], Some(Compression::Gzip(6)))] {
        let mut writer = PredictionWriter::create(path, &header, compression).unwrap();
        writer.write_rows(array![[0.5, 1.5], [2.5, 3.5]].view()).unwrap();
        writer.write_rows(array![[4.5, -5.5]].view()).unwrap();
        // Known only now.
        writer.add_obs("id", &Column::Text(vec!["a".into(), "".into(), "é".into()])).unwrap();
        writer.finish().unwrap();
    }

    let counts = CsrMatrix::new(3, 2, vec![0, 2, 2, 3], vec![0, 1, 0], vec![5.0, 1.0, 2.0]).unwrap();
    let expression = Expression::new(counts, var_names.to_vec(), obs_names.to_vec()).unwrap();
    let parts = SectionParts {
        spatial: Some(&spatial),
        spot_diameter_px: Some(145.5),
        library_id: "sim",
        thumbnail: Some((thumbnail.view(), 0.5)),
        obsm: vec![("types".into(), array![[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])],
        obs: vec![("in_tissue".into(), Column::I64(vec![1, 1, 0]))],
        uns: json!({ "seed": 7 }),
        compression: Some(Compression::Gzip(4)),
        ..Default::default()
    };
    write_section(&paths[2], &expression, &parts).unwrap();

    let header = PredictionHeader { var_names: &var_names, ..Default::default() };
    let mut writer = PredictionWriter::create(&paths[3], &header, None).unwrap();
    writer.write_rows(Array2::zeros((0, 2)).view()).unwrap();
    writer.finish().unwrap();
    paths
}
