//! The report of several shares, in order.

use super::sweep::{share, sweep_sentences, sweep_table};
use super::tried::tried_table;
use crate::report::charts::Chart;
use crate::report::document::{Block, Document, Section};
use crate::report::figures::NAME;
use crate::report::markup::clean;
use crate::report::numbers::counted;
use crate::train::factorize::{Solver, Sweep};

pub(super) fn document<'a>(of: &Sweep, charts: &'a [Chart]) -> Document<'a> {
    let mut sentences = sweep_sentences(of).into_iter();
    let answer = sentences.next().unwrap_or_default();
    let name = clean(&of.checkpoint, NAME);
    Document {
        title: format!("{name}, factorised"),
        answer: clean(&answer, 2 * NAME + answer.len()),
        headline: Some(sweep_table(of)),
        decisive: sentences.collect(),
        found: format!(
            "A checkpoint of {} weights; {}; passes of one sequence in f32 on {} with {} threads.",
            counted(of.weights as f64),
            match of.solver {
                Solver::Svd => "factors by truncated singular values",
                Solver::Whitened => "factors by singular values weighted by a text",
                Solver::Random => "factors that are drawn",
            },
            clean(&of.cpu, NAME),
            of.threads
        ),
        charts,
        sections: vec![passes(of), method()],
    }
}

/// Every length that was tried.
fn passes(of: &Sweep) -> Section {
    let blocks = of.points.iter().flat_map(|point| {
        let heading = format!("{} of the weights of the linears:", share(point.keep));
        [Block::Words(heading), Block::Table(tried_table(&point.tried))]
    });
    Section { id: "passes", title: "A forward pass, before and after", blocks: blocks.collect() }
}

fn method() -> Section {
    let words = "The dense and the factorised model take turns of a tenth of a second and more, in an order that changes, until their \
                 ratio is known as well as was asked for, or for 60 turns; the interval is that of the paired turns. A pass goes through embeddings and \
                 layers, without a head, with random tokens. Peak memory counts the weights of the model that runs, and what its pass adds. The loss is the mean over tokens \
                 of places that are spread evenly over the text: of each next token, or of the 15 % that are hidden from an encoder. The \
                 drift is 1 less the cosine between the means of the last hidden states of a sequence. Nothing is trained after the \
                 factorisation.";
    Section { id: "method", title: "How it is worked out", blocks: vec![Block::Words(words.to_owned())] }
}
