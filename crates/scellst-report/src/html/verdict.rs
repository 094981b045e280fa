use super::Method;

/// Whether something does better than the first method, by the last of its scores.
pub(super) fn verdict(methods: &[Method]) -> String {
    let score = |method: &Method| method.pearson.last().map(|&(genes, pearson, _)| (genes, pearson));
    let Some((genes, model)) = methods.first().and_then(score) else {
        return "Nothing was compared with measurements: this report says nothing about how good the predictions are."
            .to_owned();
    };
    let others = methods[1..].iter().filter_map(|m| score(m).map(|(_, pearson)| (m, pearson)));
    let Some((best, pearson)) = others.reduce(|a, b| if b.1 > a.1 { b } else { a }) else {
        return format!(
            "No baseline was run beside the model (mean Pearson {model:.3} over {genes} genes): a score alone does not \
             tell whether the model is worth its trouble."
        );
    };
    let sure = match best.p_value {
        Some(p) if p > 0.05 => format!("; the difference may be chance, p = {p:.2}"),
        Some(p) if p < 0.001 => "; p < 0.001".to_owned(),
        Some(p) => format!("; p = {p:.3}"),
        None => "; not tested".to_owned(),
    };
    if pearson > model {
        format!(
            "A baseline does better than the model: {}, mean Pearson {pearson:.3} over {genes} genes against \
             {model:.3}{sure}.",
            best.name
        )
    } else {
        format!(
            "The model does at least as well as every baseline: mean Pearson {model:.3} over {genes} genes, the best \
             baseline ({}) {pearson:.3}{sure}.",
            best.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str, pearson: f64, p_value: Option<f64>) -> Method {
        let pearson = vec![(50, 0.9, None), (250, pearson, None)];
        Method { name: name.into(), pearson, p_value, ..Method::default() }
    }

    #[test]
    fn the_last_score_decides_and_chance_is_named() {
        assert!(verdict(&[]).starts_with("Nothing was compared"));
        assert!(verdict(&[method("model", 0.3, None)]).starts_with("No baseline"));
        let worse = verdict(&[method("model", 0.3, None), method("mean", 0.0, None), method("ridge", 0.35, Some(0.2))]);
        assert!(worse.starts_with("A baseline does better than the model: ridge, mean Pearson 0.350"), "{worse}");
        assert!(worse.contains("may be chance, p = 0.20"), "{worse}");
        let better = verdict(&[method("model", 0.3, None), method("ridge", 0.2, Some(0.0001))]);
        assert!(better.starts_with("The model does at least as well") && better.contains("p < 0.001"), "{better}");
    }
}
