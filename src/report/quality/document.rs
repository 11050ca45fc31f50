//! The report of a comparison, in order.

use super::words::{caveats, label, sentence, table, time};
use crate::report::charts::Chart;
use crate::report::document::{Block, Document, Section};
use crate::report::figures::NAME;
use crate::report::markup::clean;
use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;
use crate::train::quality::{Comparison, Factor, Quality};

pub(super) fn document<'a>(of: &Quality, charts: &'a [Chart]) -> Document<'a> {
    let mut answers = of.comparisons.iter().map(|comparison| sentence(of, comparison));
    let answer = answers.next().unwrap_or_default();
    let seconds: f64 = of.runs.iter().map(|run| run.total_seconds).sum();
    let names: Vec<String> = of.archs.iter().map(|arch| label(arch)).collect();
    Document {
        title: format!("{} trained to an equal loss", names.join(", ")),
        answer,
        headline: Some(table(of)),
        decisive: answers.chain(caveats(of)).collect(),
        found: format!(
            "{} trainings of {} steps in {}, on {} with {} threads.",
            of.runs.len(),
            of.steps,
            time(seconds),
            clean(&of.cpu, NAME),
            of.threads
        ),
        charts,
        sections: vec![factors(of), runs(of), settings(of), method()],
    }
}

/// What each takes to the loss, and how many times as much.
fn factors(of: &Quality) -> Section {
    let mut rows =
        TextTable::new(&["architecture", "to loss", "what", "dense, by seed", "its own, by seed", "times dense"]);
    for comparison in &of.comparisons {
        let Comparison { arch, loss, steps, tokens, seconds, joules, .. } = comparison;
        let modelled = if of.joules_are_modelled { "J (modelled)" } else { "J" };
        for (what, factor) in [("steps", steps), ("tokens", tokens), ("s", seconds), (modelled, joules)] {
            let Some(Factor { dense, own, ratio, interval: times }) = factor else { continue };
            let list = |values: &[f64]| values.iter().map(|value| significant(*value)).collect::<Vec<_>>().join(", ");
            rows.row(vec![
                label(arch),
                format!("{loss:.4}"),
                what.to_owned(),
                list(dense),
                list(own),
                times.map_or_else(|| significant(*ratio), interval),
            ]);
        }
    }
    Section { id: "factors", title: "To an equal loss", blocks: vec![Block::Table(rows)] }
}

fn runs(of: &Quality) -> Section {
    let mut rows =
        TextTable::new(&["architecture", "seed", "begins", "weights", "loss at the end", "s", "J", "folder"]);
    for run in &of.runs {
        let last = run.points.last();
        let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), significant);
        rows.row(vec![
            label(&run.arch),
            run.seed.to_string(),
            if run.guided_steps.is_some() { format!("{}, guided", run.init) } else { run.init.to_string() },
            run.n_params.to_string(),
            last.map_or_else(|| "-".to_owned(), |point| format!("{:.4}", point.held_out_loss.mid)),
            known(last.map(|point| point.seconds)),
            known(last.and_then(|point| point.joules)),
            run.folder.display().to_string(),
        ]);
    }
    Section { id: "runs", title: "Each training", blocks: vec![Block::Table(rows)] }
}

fn settings(of: &Quality) -> Section {
    let all = [
        format!("Model: {}, a vocabulary of {}", clean(&of.model, NAME), of.vocab_size),
        format!("Text: {} tokens to learn from, {} held out", of.train_tokens, of.held_out_tokens),
        format!("Steps: {} of {} sequences of {} tokens", of.steps, of.batch_size, of.seq_len),
        format!(
            "Learning rate: {}, after {} steps of warm-up, down to a tenth at step {}",
            of.lr,
            of.warmup_steps,
            of.decay_steps.unwrap_or(of.steps)
        ),
    ];
    Section { id: "settings", title: "What all trainings share", blocks: vec![Block::List(all.to_vec())] }
}

fn method() -> Section {
    let words = "The loss is the highest, over seeds, of the lowest that dense reaches, so that every seed of dense reaches it; where \
                 another does not, it is the lowest that both reach. A training is there at the first step at which the lowest loss so far \
                 is no larger, in a line against the logarithm of the step between two evaluations. Seconds and joules are those of the \
                 steps, without evaluations and writing. What one seed of an architecture takes is divided by what the same seed of dense \
                 takes; the factor is the geometric mean over seeds.";
    Section { id: "method", title: "How it is worked out", blocks: vec![Block::Words(words.to_owned())] }
}
