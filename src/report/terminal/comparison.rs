//! Architectures by sequence length: a sentence, a table, and where they change places.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::paint::{Paint, bar};
use super::recommendation::listed;
use crate::estimate::{ArchRow, Comparison, Crossover};
use crate::model::Arch;
use crate::report::numbers::{or_dash, significant, times_dense};
use crate::report::table::TextTable;
use crate::stats::Interval;
use crate::units::DType;

/// How much of a row there is room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    All,
    /// No bars.
    Numbers,
    /// Time alone.
    Time,
}

/// Which architecture is the fastest at which lengths, in a sentence; `None` where nothing was measured.
#[must_use]
pub fn comparison_sentence(comparison: &Comparison) -> Option<String> {
    /// Lengths with one winner in one number format, each with its time over that of dense.
    type Group = ((Option<Arch>, DType), Vec<(usize, Option<Interval>)>);
    let mut groups: Vec<Group> = Vec::new();
    for length in &comparison.lengths {
        let of = |row: &&ArchRow| Some(row.arch) == length.winner;
        let ratio = length.rows.iter().find(of).and_then(|row| row.time_vs_dense);
        let of = (length.winner, length.dtype);
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, lengths)) => lengths.push((length.seq_len, ratio)),
            None => groups.push((of, vec![(length.seq_len, ratio)])),
        }
    }
    let several = groups.iter().map(|((_, dtype), _)| dtype).collect::<BTreeSet<_>>().len() > 1;
    let part = |((winner, dtype), lengths): &Group| {
        let names: Vec<String> = lengths.iter().map(|(n, _)| n.to_string()).collect();
        let at = format!("at {} tokens", listed(&names, "and"));
        let dtype = if several { format!(" in {dtype}") } else { String::new() };
        let Some(winner) = winner else { return format!("no architecture is ahead of all others {at}{dtype}") };
        let ratios: Option<Vec<String>> = lengths.iter().map(|(_, ratio)| ratio.map(times_dense)).collect();
        let ratios = ratios.filter(|_| *winner != Arch::Dense);
        let times = ratios.map_or_else(String::new, |r| format!(", in {} times the time of dense", listed(&r, "and")));
        format!("{} is the fastest {at}{dtype}{times}", winner.label())
    };
    let parts: Vec<String> = groups.iter().map(part).collect();
    let text = parts.join("; ");
    let mut letters = text.chars();
    Some(letters.next()?.to_uppercase().chain(letters).collect::<String>() + ".")
}

/// Architectures by sequence length, with winners and crossovers.
#[must_use]
pub fn comparison_text(comparison: &Comparison, colour: Paint, width: usize) -> String {
    let rooms = [Room::All, Room::Numbers, Room::Time].map(|room| table(comparison, room));
    let fits = |table: &&TextTable| table.least_width() <= width;
    let table = rooms.iter().find(fits).unwrap_or(&rooms[2]);
    let mut text = colour.table(&table.render(width), &["first"]);
    text.push_str("first: its lead is larger than the uncertainty; tie: the first two cannot be told apart\n");
    // What dense has to do with it is in the table already, unless it is where something takes over.
    let said = |c: &&Crossover| c.seq_len().is_some() || ![c.below, c.above].contains(&Arch::Dense);
    for c in comparison.crossovers.iter().filter(said) {
        let _ = writeln!(text, "{}", c.sentence());
    }
    text
}

fn table(comparison: &Comparison, room: Room) -> TextTable {
    let dtypes = comparison.lengths.iter().map(|l| l.dtype).collect::<BTreeSet<_>>();
    let some = |is_there: bool, names: &[&'static str]| if is_there { names.to_vec() } else { Vec::new() };
    let header = [
        vec!["seq_len", "batch"],
        some(dtypes.len() > 1, &["dtype"]),
        vec!["architecture", "us/token"],
        some(room == Room::All, &[""]),
        vec!["time / dense"],
        some(room != Room::Time, &["energy / dense", "FLOP"]),
        vec![""],
    ]
    .concat();
    let mut table = TextTable::new(&header);
    let slowest = comparison.lengths.iter().flat_map(|l| &l.rows).map(|r| r.us_per_token.mid).fold(0.0, f64::max);
    for length in &comparison.lengths {
        for (i, row) in length.rows.iter().enumerate() {
            let fastest = match (&length.winner, i) {
                (Some(winner), _) if *winner == row.arch => "first",
                (None, 0) => "tie",
                _ => "",
            };
            let mut cells = vec![length.seq_len.to_string(), length.batch_size.to_string()];
            if dtypes.len() > 1 {
                cells.push(length.dtype.to_string());
            }
            cells.extend([row.arch.label(), significant(row.us_per_token.mid)]);
            if room == Room::All {
                cells.push(bar(row.us_per_token.mid, slowest, 6));
            }
            cells.push(or_dash(row.time_vs_dense, times_dense));
            if room != Room::Time {
                cells.push(or_dash(row.energy_vs_dense, times_dense));
                cells.push(or_dash(row.flop_vs_dense, |f| format!("{f:.2}")));
            }
            cells.push(fastest.to_owned());
            table.row(cells);
        }
    }
    table
}
