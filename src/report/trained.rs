//! A training on text, for people.

use super::numbers::{interval, significant};
use crate::meter::EnergySource;
use crate::stats::Interval;
use crate::train::pretrain::{EndedBy, Point, Training};

/// Joules of a watt-hour.
const WH: f64 = 3600.0;

/// What is about to be trained.
#[must_use]
pub fn trained_start(of: &Training) -> String {
    let after = if of.steps > 0 { format!(", on after step {}", of.steps) } else { String::new() };
    let guided = of.guided_steps.map_or_else(String::new, |steps| format!(", guided for {steps} steps"));
    format!(
        "{}, {}{guided}: {} weights, {} tokens to learn from and {} held out, a vocabulary of {}{after}",
        of.model, of.arch, of.n_params, of.train_tokens, of.held_out_tokens, of.vocab_size
    )
}

/// An evaluation, in a line.
#[must_use]
pub fn trained_point(point: &Point) -> String {
    let train = point.train_loss.map_or_else(String::new, |loss| format!(", train loss {loss:.3}"));
    let joules = point.joules.map_or_else(String::new, |joules| format!(", {} J", significant(joules)));
    let guide = if point.guide > 0.0 { format!(" (guided by {:.3})", point.guide) } else { String::new() };
    format!(
        "step {}: held-out loss {}{guide}{train}, {:.1} s{joules}",
        point.step,
        losses(point.held_out_loss),
        point.seconds
    )
}

/// What it took, and what came of it.
#[must_use]
pub fn trained_text(of: &Training) -> String {
    let why = match of.ended_by {
        EndedBy::Running => "so far",
        EndedBy::Steps => "all that were asked for",
        EndedBy::Joules => "all that the joules were enough for",
        EndedBy::Time => "all that the time was enough for",
        EndedBy::Loss => "as many as the loss took",
    };
    let energy = of.total_joules.map_or_else(
        || "energy that is not known".to_owned(),
        |joules| {
            format!(
                "{} Wh ({})",
                interval(joules.scaled(1.0 / WH)),
                sources(of.meters.iter().map(|meter| (&*meter.part, meter.source)))
            )
        },
    );
    let loss = of.held_out_loss.map_or_else(|| "not known".to_owned(), losses);
    // A model that is still guided is not the one of the checkpoint.
    let guide = of.points.last().map_or(0.0, |point| point.guide);
    let guided = if guide > 0.0 {
        format!(
            ", still guided by {guide:.3}: the checkpoint holds the factors alone, whose loss is another, until step {}",
            of.guided_steps.unwrap_or(of.steps)
        )
    } else {
        String::new()
    };
    format!(
        "{} steps, {why}, on {} tokens: {:.1} s, {energy}, held-out loss {loss}{guided}\n",
        of.steps, of.tokens, of.total_seconds
    )
}

fn losses(loss: Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", loss.mid, loss.low, loss.high)
}

/// Which parts were measured and which modelled.
pub(super) fn sources<'a>(meters: impl Iterator<Item = (&'a str, EnergySource)>) -> String {
    let said = |(part, source): (&str, EnergySource)| {
        format!("{part} {}", if source == EnergySource::Model { "modelled" } else { source.name() })
    };
    meters.map(said).collect::<Vec<_>>().join(", ")
}
