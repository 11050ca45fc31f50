//! A checkpoint that was factorised, for people.

use crate::report::numbers::significant;
use crate::report::table::TextTable;
use crate::train::factorize::{Factorized, Outcome, Solver};

/// Decimal megabyte.
const MB: f64 = 1e6;

/// A row for each linear that was chosen, and one for all of them.
#[must_use]
pub fn factorized_table(of: &Factorized) -> TextTable {
    let mut heads = vec!["linear", "in", "out", "rank", "weights before", "weights", "error"];
    // Without a text there is nothing to weigh by.
    let is_weighted = of.weighted_error.is_some();
    heads.extend(is_weighted.then_some("weighted error"));
    let mut table = TextTable::new(&heads);
    let error = |error: Option<f64>| error.map_or_else(|| "-".to_owned(), significant);
    for linear in &of.linears {
        let mut row = vec![
            linear.name.clone(),
            linear.d_in.to_string(),
            linear.d_out.to_string(),
            linear.rank.map_or_else(|| "dense".to_owned(), |rank| rank.to_string()),
            linear.weights_before.to_string(),
            linear.weights.to_string(),
            error(linear.error),
        ];
        row.extend(is_weighted.then(|| error(linear.weighted_error)));
        table.row(row);
    }
    let (before, after) = of.linear_weights();
    let none = String::new;
    let mut row =
        vec!["all".to_owned(), none(), none(), none(), before.to_string(), after.to_string(), error(of.error)];
    row.extend(is_weighted.then(|| error(of.weighted_error)));
    table.row(row);
    table
}

/// What it comes to, in sentences.
#[must_use]
pub fn factorized_text(of: &Factorized) -> String {
    let (before, after) = of.linear_weights();
    let made = of.linears.iter().filter(|linear| linear.rank.is_some()).count();
    let chosen = of.linears.len();
    let ranks = || of.linears.iter().filter_map(|linear: &Outcome| linear.rank);
    let ranks = match (ranks().min(), ranks().max()) {
        (Some(least), Some(most)) if least < most => format!(" of ranks {least} to {most}"),
        (Some(rank), _) => format!(" of rank {rank}"),
        _ => String::new(),
    };
    let what = match of.solver {
        Solver::Svd | Solver::Whitened => "",
        Solver::Random => " Their weights are drawn: the model has to be trained.",
    };
    let read = of.calibration_tokens.map_or_else(String::new, |tokens| {
        format!("The weighted error is that of what comes out of the linears on {tokens} tokens of the text.\n")
    });
    let size = |weights: u64, bytes: u64| (weights * bytes) as f64 / MB;
    let sizes =
        |bytes| format!("{:.1} MB instead of {:.1} MB", size(of.weights, bytes), size(of.weights_before, bytes));
    format!(
        "{made} of {chosen} linears have factors{ranks}, and keep {:.1} % of the weights of these {chosen}.{what}\n{read}\
         The checkpoint has {} weights instead of {}: {} as f32, {} as bf16 or f16.\n",
        100.0 * after as f64 / before.max(1) as f64,
        of.weights,
        of.weights_before,
        sizes(4),
        sizes(2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linear_has_a_row_and_all_of_them_have_one_together() {
        let linear = |name: &str, rank: Option<usize>, weights, error| Outcome {
            name: name.to_owned(),
            d_in: 100,
            d_out: 100,
            rank,
            weights_before: 10_000,
            weights,
            error: Some(error),
            weighted_error: None,
        };
        let linears = vec![linear("a", Some(20), 4000, 0.125), linear("b", None, 10_000, 0.0)];
        let mut of = Factorized {
            solver: Solver::Svd,
            linears,
            error: Some(0.1),
            weighted_error: None,
            calibration_tokens: None,
            weights_before: 1_000_000,
            weights: 500_000,
        };
        insta::assert_snapshot!(factorized_table(&of).render(usize::MAX), @r"
        linear   in  out  rank   weights before  weights  error
        a       100  100  20              10000     4000  0.125
        b       100  100  dense           10000    10000      0
        all                               20000    14000  0.100
        ");
        insta::assert_snapshot!(factorized_text(&of), @r"
        1 of 2 linears have factors of rank 20, and keep 70.0 % of the weights of these 2.
        The checkpoint has 500000 weights instead of 1000000: 2.0 MB instead of 4.0 MB as f32, 1.0 MB instead of 2.0 MB as bf16 or f16.
        ");
        for (linear, error) in of.linears.iter_mut().zip([0.0625, 0.0]) {
            linear.weighted_error = Some(error);
        }
        (of.weighted_error, of.calibration_tokens) = (Some(0.05), Some(16_384));
        insta::assert_snapshot!(factorized_table(&of).render(usize::MAX), @r"
        linear   in  out  rank   weights before  weights  error  weighted error
        a       100  100  20              10000     4000  0.125          0.0625
        b       100  100  dense           10000    10000      0               0
        all                               20000    14000  0.100          0.0500
        ");
        let text = factorized_text(&of);
        assert!(text.contains("on 16384 tokens of the text.\nThe checkpoint has"), "{text}");
    }
}
