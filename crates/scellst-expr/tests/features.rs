//! Features of a file to genes: names, doubles, controls.

use ndarray::{Array2, arr2};
use proptest::prelude::*;
use scellst_expr::{
    CsrMatrix, DuplicateGenes, FeatureConfig, Features, GeneNaming, common_genes, is_control, make_unique,
};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn spots(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("s{i}")).collect()
}

fn table() -> (CsrMatrix, Features) {
    let counts = arr2(&[[1.0, 2.0, 0.0, 8.0, 16.0, 32.0], [0.0, 0.0, 5.0, 7.0, 0.0, 9.0]]);
    let features = Features {
        symbols: owned(&["TBCE", "ACTB", "TBCE", "", "IgG", "NegControlProbe_00042"]),
        ids: owned(&["ENSG1.4", "ENSG2", "ENSG3", "ENSG4", "AB1", "NegControlProbe_00042"]),
        kinds: owned(&[
            "Gene Expression",
            "Gene Expression",
            "Gene Expression",
            "Gene Expression",
            "Antibody Capture",
            "Negative Control Probe",
        ]),
    };
    (CsrMatrix::from_dense(counts.view()).unwrap(), features)
}

#[test]
fn doubles_unique_summed_or_refused() {
    let (counts, features) = table();
    let with = |duplicates| FeatureConfig { duplicates, ..FeatureConfig::default() };
    let (genes, report) = with(DuplicateGenes::Unique).apply(counts.clone(), &features, spots(2)).unwrap();
    assert_eq!(genes.genes(), ["TBCE", "ACTB", "TBCE-1", "ENSG4"]);
    assert_eq!(genes.counts().to_dense().unwrap(), arr2(&[[1.0, 2.0, 0.0, 8.0], [0.0, 0.0, 5.0, 7.0]]));
    assert_eq!(report.renamed, [("TBCE".to_owned(), "TBCE-1".to_owned())]);
    assert_eq!(report.without_symbol, ["ENSG4"]);
    let control = |name: &str, why: &str| (name.to_owned(), why.to_owned());
    let controls = [control("IgG", "Antibody Capture"), control("NegControlProbe_00042", "Negative Control Probe")];
    assert_eq!(report.controls, controls);
    let text = report.to_string();
    assert!(text.starts_with("4 genes of 6 features; 1 left out (Antibody Capture); 1 left out (Neg"), "{text}");

    let (genes, report) = with(DuplicateGenes::Sum).apply(counts.clone(), &features, spots(2)).unwrap();
    assert_eq!(genes.genes(), ["TBCE", "ACTB", "ENSG4"]);
    assert_eq!(genes.counts().to_dense().unwrap(), arr2(&[[1.0, 2.0, 8.0], [5.0, 0.0, 7.0]]));
    assert_eq!(report.summed, [("TBCE".to_owned(), 2)]);

    let refused = with(DuplicateGenes::Refuse).apply(counts, &features, spots(2)).unwrap_err().to_string();
    assert!(refused.contains("'TBCE' is named twice"), "{refused}");
}

#[test]
fn by_identifier_and_with_controls() {
    let (counts, features) = table();
    let ids = FeatureConfig { naming: GeneNaming::Id, keep_controls: true, ..FeatureConfig::default() };
    let (genes, report) = ids.apply(counts.clone(), &features, spots(2)).unwrap();
    assert_eq!(genes.genes(), ["ENSG1", "ENSG2", "ENSG3", "ENSG4", "AB1", "NegControlProbe_00042"]);
    assert_eq!(genes.counts(), &counts);
    assert!(report.controls.is_empty());
    let without = Features { ids: Vec::new(), ..features.clone() };
    assert!(ids.apply(counts.clone(), &without, spots(2)).unwrap_err().to_string().contains("without identifiers"));
    let own = FeatureConfig { control_prefixes: owned(&["ENSG2", "TB"]), ..FeatureConfig::default() };
    let (genes, report) = own.apply(counts, &features, spots(2)).unwrap();
    assert_eq!(genes.genes(), ["ENSG4"]);
    assert_eq!(report.controls[0], ("TBCE".to_owned(), "TB".to_owned()));
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let (counts, features) = table();
    let refuse = |features: &Features, text: &str| {
        let refused = FeatureConfig::default().apply(counts.clone(), features, spots(2)).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused}");
    };
    refuse(&Features { symbols: owned(&["A"]), ..features.clone() }, "symbols of features");
    refuse(&Features { kinds: owned(&["Gene Expression"]), ..features.clone() }, "kinds of features");
    refuse(&Features { kinds: vec!["CRISPR Guide Capture".to_owned(); 6], ..features.clone() }, "6 left out (CRISPR");
    // A negative count is refused even where a sum would hide it.
    let negative = CsrMatrix::from_dense(arr2(&[[-1.0, 2.0]]).view()).unwrap();
    let twice = Features { symbols: owned(&["A", "A"]), ..Features::default() };
    let sum = FeatureConfig { duplicates: DuplicateGenes::Sum, ..FeatureConfig::default() };
    let refused = sum.apply(negative, &twice, spots(1)).unwrap_err().to_string();
    assert!(refused.contains("row 0, column 0 holds -1"), "{refused}");
    assert!(counts.sum_columns(&[Some(0)], 1).is_err());
    assert!(counts.sum_columns(&[Some(9); 6], 1).is_err());
}

#[test]
fn controls_by_name_where_no_kind_is_stated() {
    for name in ["NegControlCodeword_0500", "BLANK_0069", "Blank-3", "ERCC-00002", "__no_feature", "antisense_PROKR2"] {
        assert!(is_control(name, "", "").is_some(), "{name}");
    }
    for gene in ["NEGR1", "ERCC1", "NELFE", "BLNK", "MT-CO1", "EPCAM"] {
        assert_eq!(is_control(gene, "ENSG00000000001", ""), None);
        assert_eq!(is_control(gene, "", "Gene Expression"), None);
    }
    assert_eq!(is_control("EPCAM", "", "Blank Codeword"), Some("Blank Codeword"));
}

#[test]
fn what_an_intersection_costs_is_told() {
    let named = |names: &[&str]| {
        let features = Features { symbols: owned(names), ..Features::default() };
        let counts = CsrMatrix::from_dense(Array2::ones((1, names.len())).view()).unwrap();
        FeatureConfig::default().apply(counts, &features, spots(1)).unwrap().0
    };
    let (one, two, three) = (named(&["C", "A", "B"]), named(&["B", "D", "C"]), named(&["B", "C", "A"]));
    let common = common_genes(&[&one, &two, &three]).unwrap();
    assert_eq!(common.lost, [owned(&["A"]), owned(&["D"]), owned(&["A"])]);
    assert_eq!(common.lacking, [owned(&["D"]), owned(&["A"]), owned(&["D"])]);
    let text = common.to_string();
    let wanted = "2 genes in common\nsection 1: loses 1 (A); lacks 1 of the others (D)\nsection 2: loses 1 (D); lacks";
    assert!(text.starts_with(wanted), "{text}");
}

proptest! {
    /// Sums over doubles keep each row's total; making names unique keeps everything.
    #[test]
    fn no_count_is_lost(values in prop::collection::vec(0..9_u8, 3 * 8), names in prop::collection::vec("[a-c]", 8)) {
        let dense = Array2::from_shape_fn((3, 8), |(i, j)| f32::from(values[i * 8 + j]));
        let counts = CsrMatrix::from_dense(dense.view()).unwrap();
        let features = Features { symbols: names.clone(), ..Features::default() };
        for duplicates in [DuplicateGenes::Sum, DuplicateGenes::Unique] {
            let config = FeatureConfig { duplicates, ..FeatureConfig::default() };
            let (genes, _) = config.apply(counts.clone(), &features, spots(3)).unwrap();
            prop_assert_eq!(genes.counts().row_sums(), counts.row_sums());
        }
        let mut unique = names;
        make_unique(&mut unique);
        prop_assert_eq!(unique.iter().collect::<std::collections::HashSet<_>>().len(), 8);
    }
}
