//! What was found, in sentences and in a table.

use crate::model::Arch;
use crate::report::numbers::{interval, significant};
use crate::report::table::{TextTable, wrapped};
use crate::report::trained::sources;
use crate::stats::Interval;
use crate::train::quality::{Basis, Comparison, Factor, Quality};

/// Seconds in a unit that suits them.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{} min", significant(s / 60.0)),
        s => format!("{} h", significant(s / 3600.0)),
    }
}

/// A name for people.
pub(super) fn label(arch: &str) -> String {
    arch.parse::<Arch>().map_or_else(|_| arch.to_owned(), Arch::label)
}

/// A loss, with as many digits as losses are told apart by.
pub(super) fn loss(loss: f64) -> String {
    format!("{loss:.3}")
}

/// Joules where they are known, and seconds otherwise: what is said first.
pub(super) fn unit(of: &Quality) -> &'static str {
    if of
        .comparisons
        .iter()
        .any(|c| c.joules.is_some() || c.not_reached.as_ref().is_some_and(|n| n.more_than_joules.is_some()))
    {
        if of.joules_are_modelled { "J (modelled)" } else { "J" }
    } else {
        "s"
    }
}

fn has_joules(of: &Quality) -> bool {
    unit(of) != "s"
}

/// `0.78 [0.70, 0.87]`; a bare number of one seed.
fn ratio(factor: &Factor) -> String {
    factor.interval.map_or_else(|| significant(factor.ratio), interval)
}

/// The geometric mean.
fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

/// One architecture against dense, in a sentence or two.
pub(super) fn sentence(of: &Quality, comparison: &Comparison) -> String {
    let name = label(&comparison.arch);
    let unit = unit(of);
    let factor = if has_joules(of) { &comparison.joules } else { &comparison.seconds };
    let taken = |factor: &Factor| {
        let dense = mean(&factor.dense);
        let own = match factor.interval {
            Some(times) => interval(times.scaled(dense)),
            None => significant(dense * factor.ratio),
        };
        (significant(dense), own)
    };
    let steps = comparison.steps.as_ref().map_or_else(String::new, |s| format!(", and {} times the steps", ratio(s)));
    let Some(bound) = &comparison.not_reached else {
        return match factor {
            Some(factor) => {
                let (dense, own) = taken(factor);
                format!(
                    "To the held-out loss of {} that dense reaches in {dense} {unit}, {name} needs {own} {unit}: {} times as much{steps}.",
                    loss(comparison.loss),
                    ratio(factor)
                )
            }
            None => format!(
                "{name} and dense cannot be compared: dense learned nothing in {} steps, its loss was lowest before the first.",
                of.steps
            ),
        };
    };
    let cost = if has_joules(of) { bound.more_than_joules } else { bound.more_than_seconds };
    let what = if has_joules(of) { "joules" } else { "seconds" };
    let bounds = [(bound.more_than_steps, "steps"), (cost, what)];
    let bounds: Vec<String> = bounds
        .iter()
        .filter_map(|(times, what)| Some(format!("{} times the {what}", significant((*times)?))))
        .collect();
    let more = if bounds.is_empty() {
        String::new()
    } else {
        format!(": it takes more than {}", bounds.join(" and more than "))
    };
    let which = if bound.seeds.len() as u64 == of.seeds {
        String::new()
    } else {
        format!(" with {} of {} seeds", bound.seeds.len(), of.seeds)
    };
    let not = format!(
        "{name} does not reach the held-out loss of {} of dense in {} steps{which}{more}.",
        loss(comparison.dense_loss),
        bound.steps
    );
    match factor {
        Some(factor) => {
            let (dense, own) = taken(factor);
            format!(
                "{not} To {}, the lowest that both reach, dense needs {dense} {unit} and {name} {own} {unit}: {} times as much{steps}.",
                loss(comparison.loss),
                ratio(factor)
            )
        }
        None => format!("{not} There is no loss that both reach by learning."),
    }
}

/// What must be known beside the answer.
pub(super) fn caveats(of: &Quality) -> Vec<String> {
    let mut said = Vec::new();
    said.push(match of.seeds {
        1 => "One seed has no scatter: there are no intervals (`--seeds 3`).".to_owned(),
        n => format!(
            "Intervals are 95 %, Student's over {n} seeds, of which each is a pair: the same text in the same order."
        ),
    });
    said.push(if has_joules(of) {
        let meters = sources(of.meters.iter().map(|meter| (&*meter.part, meter.source)));
        if of.joules_are_modelled {
            format!("Joules are modelled, not measured by a counter ({meters}): they follow seconds and load.")
        } else {
            format!("Joules are measured ({meters}).")
        }
    } else {
        "Joules are not known: a part that draws power has no meter.".to_owned()
    });
    if of.comparisons.iter().any(|c| c.basis == Basis::Both) {
        said.push("A loss that is not reached gives a bound: nothing is extrapolated.".to_owned());
    }
    if let Some(steps) = of.runs.iter().find_map(|run| run.guided_steps) {
        said.push(format!(
            "Factors are guided by dense matrices in the first {steps} steps, whose seconds and joules are counted. Evaluations in \
             these steps are of both together, and reach no loss."
        ));
    }
    said.push(format!(
        "All have the same schedule: a learning rate of {} that falls over {} steps. None has a rate of its own, and a training that \
         ended sooner would have fallen sooner.",
        of.lr,
        of.decay_steps.unwrap_or(of.steps)
    ));
    said
}

/// The held-out loss at the end: its mean over seeds, with the least and the largest.
fn end_of(of: &Quality, arch: &str) -> Option<Interval> {
    let runs = of.runs.iter().filter(|run| run.arch == arch);
    let ends: Vec<f64> = runs.filter_map(|run| Some(run.points.last()?.held_out_loss.mid)).collect();
    let (low, high) = ends.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
    (!ends.is_empty()).then(|| Interval { mid: ends.iter().sum::<f64>() / ends.len() as f64, low, high })
}

/// A row for each architecture.
#[must_use]
pub fn table(of: &Quality) -> TextTable {
    let joules = if of.joules_are_modelled { "J x dense (modelled)" } else { "J x dense" };
    let mut heads = vec!["architecture", "loss at the end", "to loss", "steps x dense", "s x dense"];
    heads.extend(has_joules(of).then_some(joules));
    let mut table = TextTable::new(&heads);
    for arch in &of.archs {
        let end = end_of(of, arch).map_or_else(
            || "-".to_owned(),
            |end| {
                let scatters = end.low < end.high;
                let ends = scatters.then(|| format!(" [{}, {}]", loss(end.low), loss(end.high)));
                loss(end.mid) + &ends.unwrap_or_default()
            },
        );
        let start = |to: String| vec![label(arch), end.clone(), to];
        let Some(comparison) = of.comparisons.iter().find(|c| c.arch == *arch) else {
            let mut row = start("-".to_owned());
            row.resize(heads.len(), "1".to_owned());
            table.row(row);
            continue;
        };
        let known = |factor: &Option<Factor>| factor.as_ref().map_or_else(|| "-".to_owned(), ratio);
        let mut factors = vec![known(&comparison.steps), known(&comparison.seconds)];
        factors.extend(has_joules(of).then(|| known(&comparison.joules)));
        if let Some(bound) = &comparison.not_reached {
            let more = |times: Option<f64>| times.map_or_else(|| "-".to_owned(), |x| format!("> {}", significant(x)));
            let mut row = start(loss(comparison.dense_loss));
            row.extend([more(bound.more_than_steps), more(bound.more_than_seconds)]);
            row.extend(has_joules(of).then(|| more(bound.more_than_joules)));
            table.row(row);
        }
        let mut row = start(loss(comparison.loss));
        row.extend(factors);
        table.row(row);
    }
    table
}

/// The answer, the table, and what must be known beside it, in lines of at most `width`.
#[must_use]
pub fn text(of: &Quality, width: usize) -> [String; 3] {
    let said: String = of.comparisons.iter().map(|c| wrapped(&sentence(of, c), width, "")).collect();
    let assumed = caveats(of).into_iter().enumerate().map(|(i, caveat)| {
        wrapped(&format!("{}{caveat}", if i == 0 { "assumed: " } else { "         " }), width, "         ")
    });
    [said, table(of).render(width), assumed.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::EnergySource;
    use crate::report::quality::charts::charts;
    use crate::train::pretrain::{Init, Point};
    use crate::train::quality::{Curve, Meter, Run, compare};

    /// Trainings that end at these losses after 200 steps of so many seconds, from 6 after 50.
    fn found(runs: &[(&str, u64, f64, f64)], joules: bool) -> Quality {
        let run = |(arch, seed, seconds, end): &(&str, u64, f64, f64)| {
            let point = |step: u64, mid: f64| Point {
                step,
                tokens: 100 * step,
                seconds: seconds * step as f64,
                joules: joules.then_some(5.0 * seconds * step as f64),
                lr: 0.001,
                train_loss: None,
                held_out_loss: Interval { mid, low: mid - 0.1, high: mid + 0.1 },
                guide: 0.0,
            };
            Run {
                arch: (*arch).to_owned(),
                seed: *seed,
                folder: "runs/x".into(),
                init: Init::Normal,
                guided_steps: None,
                n_params: if *arch == "dense" { 1000 } else { 600 },
                total_seconds: 300.0 * seconds,
                points: vec![point(0, 8.0), point(50, 6.0), point(200, *end)],
            }
        };
        let runs: Vec<Run> = runs.iter().map(run).collect();
        let mut archs: Vec<String> = Vec::new();
        runs.iter().for_each(|run| {
            if !archs.contains(&run.arch) {
                archs.push(run.arch.clone());
            }
        });
        let curves = |arch: &str| -> Vec<Curve<'_>> {
            let own = runs.iter().filter(|run| run.arch == arch);
            own.map(|run| Curve { seed: run.seed, points: &run.points }).collect()
        };
        let others = archs.iter().filter(|arch| *arch != "dense");
        let comparisons = others.filter_map(|arch| compare(arch, &curves("dense"), &curves(arch))).collect();
        let seeds = 1 + runs.iter().map(|run| run.seed).max().unwrap_or(0);
        let meter = |part: &str| Meter { part: part.to_owned(), source: EnergySource::Model };
        Quality {
            d_model: 256,
            n_layers: 4,
            schema: 1,
            model: "decoder of 4 x 256".to_owned(),
            archs,
            seeds,
            steps: 200,
            seq_len: 25,
            batch_size: 4,
            lr: 0.001,
            warmup_steps: 20,
            decay_steps: Some(200),
            vocab_size: 300,
            train_tokens: 100_000,
            held_out_tokens: 5000,
            cpu: "A test CPU".to_owned(),
            threads: 2,
            meters: vec![meter("cpu"), meter("memory")],
            joules_are_modelled: true,
            runs,
            comparisons,
        }
    }

    const LRT: &str = "lrt:rank=64";

    #[test]
    fn what_is_cheaper_is_said_in_joules_with_its_interval_and_that_they_are_modelled() {
        let of = found(&[("dense", 0, 1.0, 4.0), (LRT, 0, 0.5, 4.0), ("dense", 1, 1.0, 4.0), (LRT, 1, 0.6, 4.0)], true);
        // 200 steps of 5 J; of the other, 0.5 and 0.6 of that: a mean of sqrt(0.3) = 0.548.
        assert_eq!(
            sentence(&of, &of.comparisons[0]),
            "To the held-out loss of 4.000 that dense reaches in 1000 J (modelled), LRT r=64 needs 548 [172, 1740] J (modelled): \
             0.548 [0.172, 1.74] times as much, and 1.00 times the steps."
        );
        assert!(
            caveats(&of)[1]
                .starts_with("Joules are modelled, not measured by a counter (cpu modelled, memory modelled)")
        );
        let csv = table(&of);
        let (heads, rows) = csv.parts();
        assert_eq!(heads.last().map(String::as_str), Some("J x dense (modelled)"));
        assert_eq!(rows[1][..3], ["LRT r=64", "4.000", "4.000"]);
    }

    #[test]
    fn what_is_not_reached_is_a_bound_and_without_meters_the_answer_is_in_seconds() {
        let of = found(&[("dense", 0, 1.0, 4.0), (LRT, 0, 0.5, 6.0)], false);
        assert_eq!(
            sentence(&of, &of.comparisons[0]),
            "LRT r=64 does not reach the held-out loss of 4.000 of dense in 200 steps: it takes more than 1.00 times the steps and \
             more than 0.500 times the seconds. To 6.000, the lowest that both reach, dense needs 50.0 s and LRT r=64 25.0 s: 0.500 times as much, and 1.00 times the steps."
        );
        let said = caveats(&of).join(" ");
        assert!(said.contains("One seed has no scatter") && said.contains("Joules are not known"), "{said}");
        assert!(table(&of).parts().1.iter().any(|row| row[3] == "> 1.00"));
        assert_eq!(charts(&of).iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["loss_by_s", "loss_by_steps"]);
        let both = found(&[("dense", 0, 1.0, 4.0), (LRT, 0, 0.5, 8.5)], true);
        let worse = found(&[("dense", 0, 1.0, 8.5), (LRT, 0, 0.5, 8.5)], true);
        assert!(sentence(&both, &both.comparisons[0]).contains("LRT r=64 does not reach"), "{both:?}");
        assert!(!sentence(&worse, &worse.comparisons[0]).contains("NaN"), "{worse:?}");
    }

    #[test]
    fn all_fits_into_sixty_columns_and_more() {
        let three = [("dense", 0, 1.0, 4.0), (LRT, 0, 0.5, 4.5), ("lrt:rank=128", 0, 0.7, 3.9), ("dense", 1, 1.0, 4.1)];
        let of = found(&[&three[..], &[(LRT, 1, 0.5, 4.6), ("lrt:rank=128", 1, 0.7, 3.8)]].concat(), true);
        for width in 60..140 {
            let all = text(&of, width).concat();
            let wide: Vec<&str> = all.lines().filter(|line| line.chars().count() > width).collect();
            assert!(wide.is_empty(), "{width}: {wide:#?}");
        }
        assert_eq!(charts(&of).len(), 3);
    }
}
