//! What a factorised model takes and how well it reads, beside the dense one.

use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;
use crate::train::factorize::{PassTried, Reading, Tried, Widths};

/// Decimal megabyte.
const MB: f64 = 1e6;
/// Milliseconds of a second.
const MS: f64 = 1e3;

fn or_dash<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// A row for each length: a forward pass of one sequence, before and after.
#[must_use]
pub fn tried_table(of: &Tried) -> TextTable {
    let dense_joules = if of.joules_are_modelled() { "dense J (modelled)" } else { "dense J" };
    let mut table = TextTable::new(&[
        "tokens",
        "dense ms",
        "ms",
        "times dense",
        dense_joules,
        "J",
        "times dense",
        "dense peak MB",
        "peak MB",
    ]);
    let mb = |bytes: Option<u64>| or_dash(bytes, |bytes| significant(bytes as f64 / MB));
    for pass in &of.passes {
        table.row(vec![
            pass.seq_len.to_string(),
            interval(pass.dense_seconds.scaled(MS)),
            interval(pass.seconds.scaled(MS)),
            interval(pass.vs_dense),
            or_dash(pass.dense_joules, interval),
            or_dash(pass.joules, interval),
            or_dash(pass.joules_vs_dense, interval),
            mb(pass.dense_peak_memory_bytes),
            mb(pass.peak_memory_bytes),
        ]);
    }
    table
}

/// Whether it is faster, in a sentence for each length, and how well it reads.
#[must_use]
pub fn tried_text(of: &Tried) -> String {
    let mut lines: Vec<String> =
        of.passes.iter().map(|pass| format!("At {} tokens it {}.", pass.seq_len, speed(pass))).collect();
    lines.extend(of.widths.as_ref().map(break_even));
    lines.extend(of.reading.as_ref().map(reads));
    lines.extend(unmetered(of));
    lines.join("\n") + "\n"
}

/// What a pass is beside dense, as the end of a sentence.
pub(super) fn speed(pass: &PassTried) -> String {
    let times = interval(pass.vs_dense);
    match pass.vs_dense {
        Interval { high, .. } if high < 1.0 => format!("takes {times} times as long as dense"),
        Interval { low, .. } if low > 1.0 => format!("is smaller but not faster: {times} times as long as dense"),
        _ => format!("is smaller but not faster beyond doubt: {times} times as long as dense"),
    }
}

/// From which width on it would be faster.
pub(super) fn break_even(of: &Widths) -> String {
    let layers = format!("One layer that keeps {} % of its weights", significant(100.0 * of.keep));
    match of.faster_from() {
        Some(width) => {
            format!("{layers} is faster on this machine from a width of {width} on, at {} tokens.", of.seq_len)
        }
        None => format!(
            "{layers} is not faster on this machine up to a width of {}, at {} tokens.",
            of.widest(),
            of.seq_len
        ),
    }
}

/// How well it reads.
fn reads(of: &Reading) -> String {
    let drift = format!("its embeddings drift by {} (1 less the cosine)", interval(of.drift));
    match (of.loss, of.dense_loss) {
        (Some(loss), Some(dense)) => {
            let added = of.added_loss.map_or_else(String::new, |added| format!(" ({} more)", shown(added)));
            format!("On the text its loss is {:.3} nats instead of {:.3}{added}; {drift}.", loss.mid, dense.mid)
        }
        _ => format!("On the text {drift}; there is no loss: {}.", of.reason.as_deref().unwrap_or("it is not known")),
    }
}

/// Which parts of the machine have no meter, so that there are no joules.
pub(super) fn unmetered(of: &Tried) -> Option<String> {
    let parts: Vec<String> = of.unmetered.iter().map(|part| format!("{}: {}", part.part, part.reason)).collect();
    (!parts.is_empty()).then(|| format!("Joules are not known, since a part has no meter ({}).", parts.join("; ")))
}

/// A loss, with as many digits as losses are told apart by.
pub(super) fn shown(loss: Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", loss.mid, loss.low, loss.high)
}
