//! Filters, gene lists, selections and scaling: rules, files good and bad, and messages.

use std::fs;
use std::path::PathBuf;

use ndarray::{Array2, arr2};
use scellst_expr::{
    CsrMatrix, Expression, FilterConfig, GeneRanges, GeneScore, GeneSelection, Scaling, Spots, common_genes,
    log_normalised_variance, make_unique, most_variable, read_gene_list, size_factors, sorted_names, write_gene_scores,
};
use scellst_types::Point;

fn expression(genes: &[&str], counts: &Array2<f32>) -> Expression {
    let observations = (0..counts.nrows()).map(|i| format!("spot{i}")).collect();
    let genes = genes.iter().map(|gene| (*gene).to_owned()).collect();
    Expression::new(CsrMatrix::from_dense(counts.view()).unwrap(), genes, observations).unwrap()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn filters_at_their_limits() {
    // 20 spots: a gene needs 200 counts and floor(2.0) spots; limits themselves pass.
    let mut counts = Array2::zeros((20, 5));
    counts[[0, 0]] = 100.0;
    counts[[1, 0]] = 100.0; // 200 in two spots: stays
    counts[[2, 1]] = 300.0; // in one spot: goes
    counts.column_mut(2).fill(9.95); // 199 in all: goes
    counts.column_mut(3).fill(20.0); // mitochondrial: goes, but its counts keep the spots
    counts.column_mut(4).fill(0.0); // nothing
    let raw = expression(&["A", "B", "C", "MT-X", "MTOR"], &counts);
    let filtered = FilterConfig::default().apply(&raw).unwrap();
    assert_eq!(filtered.expression.genes(), ["A"]);
    assert_eq!(filtered.genes, [0]);
    assert_eq!(filtered.observations.len(), 20);
    assert_eq!(filtered.report.genes_few_observations, ["B"]);
    assert_eq!(filtered.report.genes_few_counts, ["C", "MTOR"]);
    assert_eq!(filtered.report.genes_prefixed, ["MT-X"]);
    let text = filtered.report.to_string();
    assert!(
        text.starts_with("1 of 5 genes kept (2 with too few counts, 1 in too few observations, 1 by prefix)"),
        "{text}"
    );
}

#[test]
fn filters_that_leave_nothing_say_so() {
    let raw = expression(&["A"], &arr2(&[[1.0], [2.0]]));
    let refused = FilterConfig::default().apply(&raw).unwrap_err().to_string();
    assert!(refused.contains("0 of 1 genes kept") && refused.contains("raw counts"), "{refused}");
    for bad in [f64::NAN, -1.0, 2.0] {
        let config = FilterConfig { min_gene_share: bad, ..FilterConfig::default() };
        assert!(config.apply(&raw).unwrap_err().to_string().contains("min_gene_share"));
    }
    assert!(serde_json::from_str::<FilterConfig>(r#"{"min_gene_count": 3}"#).is_err());
    let some: FilterConfig = serde_json::from_str(r#"{"min_gene_counts": 3}"#).unwrap();
    assert_eq!((some.min_gene_counts, some.min_observation_counts), (3.0, 20.0));
}

#[test]
fn missing_genes_are_named_and_counted() {
    let raw = expression(&["A", "B"], &arr2(&[[1.0, 2.0]]));
    assert_eq!(raw.select_genes(&["B"]).unwrap().counts().to_dense().unwrap(), arr2(&[[2.0]]));
    let wanted: Vec<String> = (0..14).map(|i| format!("X{i}")).chain(["A".to_owned()]).collect();
    let message = raw.select_genes(&wanted).unwrap_err().to_string();
    assert!(message.starts_with("14 of 15 genes are not among the 2 of the counts: X0, X1, "), "{message}");
    assert!(message.contains("X9 and 4 more;"), "{message}");
}

#[test]
fn common_genes_and_what_each_section_loses() {
    let one = expression(&["C", "A", "B"], &arr2(&[[1.0, 1.0, 1.0]]));
    let two = expression(&["B", "D", "C"], &arr2(&[[1.0, 1.0, 1.0]]));
    let common = common_genes(&[&one, &two]).unwrap();
    assert_eq!(common.genes, ["B", "C"]);
    assert_eq!(common.lost, [owned(&["A"]), owned(&["D"])]);
    let three = expression(&["Z"], &arr2(&[[1.0]]));
    let refused = common_genes(&[&one, &three]).unwrap_err().to_string();
    assert!(refused.contains("2 sections have no gene in common (3, 1)"), "{refused}");
    assert!(common_genes(&[]).is_err());
}

#[test]
fn selections_parse() {
    let parse = |text: &str| text.parse::<GeneSelection>();
    assert_eq!(parse("hvg:1000").unwrap(), GeneSelection::Hvg(1000));
    assert_eq!(parse("var:1").unwrap(), GeneSelection::Var(1));
    assert_eq!(parse("svg:50").unwrap(), GeneSelection::Svg(50));
    assert_eq!(parse("C:/genes.csv").unwrap(), GeneSelection::File(PathBuf::from("C:/genes.csv")));
    for bad in ["", " ", "hvg", "hvg:", "var:0", "svg:-3", "hvg:1.5", "var:99999999999999999999"] {
        let message = parse(bad).unwrap_err().to_string();
        assert!(message.contains("hvg:K"), "{message}");
    }
    for text in ["hvg:7", "var:7", "svg:7", "genes.txt"] {
        assert_eq!(parse(text).unwrap().to_string(), text);
        let json = serde_json::to_string(&parse(text).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<GeneSelection>(&json).unwrap(), parse(text).unwrap());
    }
}

#[test]
fn most_variable_breaks_ties_by_name_and_wants_more_than_a_tenth() {
    // Ten spots; D is in one of them: exactly a tenth, which is not more.
    let mut counts = Array2::from_elem((10, 4), 1.0);
    for spot in 0..5 {
        counts[[spot, 0]] = 9.0;
        counts[[spot + 5, 1]] = 9.0;
    }
    counts.column_mut(3).fill(0.0);
    counts[[0, 3]] = 500.0;
    let raw = expression(&["B", "A", "C", "D"], &counts);
    let chosen = most_variable(&[&raw], 4).unwrap();
    assert_eq!(chosen.len(), 3);
    assert!(chosen.iter().all(|score| score.gene != "D"));
    let even = expression(&["B", "A"], &arr2(&[[3.0, 1.0], [1.0, 3.0]]));
    let names: Vec<String> = most_variable(&[&even], 2).unwrap().into_iter().map(|score| score.gene).collect();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn selection_from_a_file_keeps_its_order_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genes.csv");
    fs::write(&path, "rank,gene\n1,C\n2,A\n").unwrap();
    let raw = expression(&["A", "B", "C"], &arr2(&[[1.0, 5.0, 2.0], [3.0, 1.0, 1.0]]));
    let chosen = GeneSelection::File(path.clone()).select(&[&raw]).unwrap();
    let variances = log_normalised_variance(&[&raw], &["C", "A"]).unwrap();
    assert_eq!(chosen[0], GeneScore { gene: "C".to_owned(), score: variances[0], rank: 1 });
    assert_eq!(chosen[1], GeneScore { gene: "A".to_owned(), score: variances[1], rank: 2 });
    assert_eq!(sorted_names(&chosen), ["A", "C"]);

    let out = folder.path().join("out.csv");
    write_gene_scores(&out, &chosen).unwrap();
    assert_eq!(read_gene_list(&out).unwrap(), ["C", "A"]);
    assert!(fs::read_to_string(&out).unwrap().starts_with("gene,score,rank\nC,0.0"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    assert!(write_gene_scores(&folder.path().join("no/such/folder.csv"), &chosen).is_err());

    let lacking = expression(&["A"], &arr2(&[[1.0], [2.0]]));
    let refused = GeneSelection::File(path).select(&[&raw, &lacking]).unwrap_err().to_string();
    assert!(refused.contains("1 of 2 genes are not among the 1 of all sections together: C"), "{refused}");
}

#[test]
fn gene_lists_good_and_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_gene_list(&path)
    };
    assert_eq!(read(b"EPCAM\nCD3E\n\nEPCAM\r\n").unwrap(), ["EPCAM", "CD3E"]);
    assert_eq!(read("\u{feff}gene\nEPCAM".as_bytes()).unwrap(), ["EPCAM"]);
    assert_eq!(read(b"\"gene\",x\n\"A,\"\"B\"\"\",1\n").unwrap(), ["A,\"B\""]);
    assert_eq!(read("α-gene\n".as_bytes()).unwrap(), ["α-gene"]);
    for (bytes, text) in [
        (&b""[..], "empty"),
        (b"\n \n", "empty"),
        (b"gene\n", "names no gene"),
        (b"symbol,score\nA,1\n", "without a 'gene' column; its first line has: symbol, score"),
        (b"x,gene\nA\n", "line 2: 1 fields, expected 2"),
        (b"A\nB,C\n", "line 2: 2 fields, expected 1"),
        (b"\x89HDF\r\n\xff\xfe", "not text (byte 0)"),
    ] {
        let message = read(bytes).unwrap_err().to_string();
        assert!(message.contains(text) && message.contains("list"), "'{message}' does not say '{text}'");
    }
    let absent = read_gene_list(&folder.path().join("absent.csv")).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read") && absent.contains("absent.csv"), "{absent}");
}

#[test]
fn names_become_unique_as_in_anndata() {
    let mut names = owned(&["a", "b", "a", "a-1", "a"]);
    assert_eq!(make_unique(&mut names), 2);
    assert_eq!(names, ["a", "b", "a-2", "a-1", "a-3"]);
    assert_eq!(make_unique(&mut names), 0);
}

#[test]
fn scaling_over_sections() {
    let one = arr2(&[[0.0, 5.0], [10.0, 5.0]]);
    let two = arr2(&[[20.0, 7.0], [20.0, 5.0]]);
    let views = [one.view(), two.view()];
    let slide = Scaling::Slide.fit(&views).unwrap();
    assert_eq!(slide[0].as_slice(), [9.5, 1.0]); // a zero range counts as 1
    assert_eq!(slide[1].as_slice(), [1.0, 1.9]);
    let global = Scaling::Global.fit(&views).unwrap();
    assert_eq!(global[0], global[1]);
    assert_eq!(global[0].as_slice()[0], 20.0); // (0, 10, 20, 20) at 0.95 x 3 = 2.85
    assert_eq!(Scaling::None.fit(&views).unwrap()[1].as_slice(), [1.0, 1.0]);
    assert_eq!(GeneRanges::mean(&slide).unwrap().as_slice(), [5.25, 1.45]);

    let mut scaled = one.clone();
    slide[0].apply(scaled.view_mut()).unwrap();
    assert_eq!(scaled, arr2(&[[0.0, 5.0], [10.0 / 9.5, 5.0]]));
    slide[0].undo(scaled.view_mut()).unwrap();
    assert!((&scaled - &one).iter().all(|difference| difference.abs() < 1e-5));

    assert!(slide[0].apply(Array2::zeros((2, 3)).view_mut()).is_err());
    assert!(Scaling::Slide.fit(&[]).is_err());
    assert!(Scaling::Slide.fit(&[Array2::zeros((0, 2)).view()]).is_err());
    assert!(Scaling::Slide.fit(&[one.view(), Array2::zeros((1, 3)).view()]).is_err());
    assert!(serde_json::from_str::<GeneRanges>("[1.0, 0.0]").is_err());
    assert_eq!("global".parse::<Scaling>().unwrap().to_string(), "global");
    assert!("all".parse::<Scaling>().is_err());
}

#[test]
fn size_factors_of_odd_even_and_none() {
    assert_eq!(size_factors(&[1.0, 4.0, 2.0]).unwrap(), [0.5, 2.0, 1.0]);
    assert_eq!(size_factors(&[1.0, 3.0]).unwrap(), [0.5, 1.5]);
    assert!(size_factors(&[]).is_err());
    assert!(size_factors(&[0.0, 0.0, 9.0]).is_err());
}

/// A square grid of 40 x 40 spots 7.5 px apart, more than are measured, and one far away.
#[test]
fn the_pitch_of_an_array() {
    let mut centres: Vec<_> = (0..1600).map(|i| Point::new(f64::from(i % 40) * 7.5, f64::from(i / 40) * 7.5)).collect();
    centres.push(Point::new(9000.0, 0.0));
    let pitch = |centres: &[Point<_>]| Spots::new(centres.to_vec(), 55.0).unwrap().pitch_px();
    assert_eq!(pitch(&centres), Some(7.5));
    assert_eq!(pitch(&centres[..2]), Some(7.5));
    assert_eq!(pitch(&centres[..1]), None);
    assert_eq!(pitch(&[]), None);
}

#[test]
fn spots_are_checked() {
    let at = Point::new(1.0, 2.0);
    let spots = Spots::new(vec![at, Point::new(3.0, 4.0)], 55.0).unwrap();
    assert_eq!(spots.select(&[1]).unwrap().centres(), [Point::new(3.0, 4.0)]);
    assert!(spots.select(&[2]).is_err());
    for diameter in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Spots::new(vec![at], diameter).is_err());
    }
    let refused = Spots::new(vec![at, Point::new(f64::NAN, 0.0)], 55.0).unwrap_err().to_string();
    assert!(refused.contains("spot 1"), "{refused}");
}
