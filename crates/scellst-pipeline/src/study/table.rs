use super::StudyScore;

/// The scores as CSV, one row a case and level.
pub fn study_csv(scores: &[StudyScore]) -> String {
    let mut text = String::from(
        "scenario,genes,n_genes,learner,loss,learning_rate,degradation,amount,spots,cells_per_spot,seed,level,pearson,\
         pearson_low,pearson_high,constant_genes,epochs,seconds\n",
    );
    for s in scores {
        let c = &s.case;
        let (degradation, amount) = c.degradation.parts();
        let amount = amount.map(|a| a.to_string()).unwrap_or_default();
        text += &format!(
            "{},{},{},{},{},{},{degradation},{amount},{},{},{},{},{:.5},{:.5},{:.5},{},{},{:.1}\n",
            c.scenario,
            c.genes,
            s.genes,
            c.learner,
            c.loss,
            c.learning_rate,
            c.spots,
            c.cells_per_spot,
            c.seed,
            s.level,
            s.pearson,
            s.interval.0,
            s.interval.1,
            s.constant,
            s.epochs,
            s.seconds,
        );
    }
    text
}
