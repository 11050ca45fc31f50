//! What one frame tells: counters, the epoch, times, and totals that stand in a program's head lines.

pub(super) use super::words::Class;

/// Parts of an epoch that are told apart where it is told with a fraction.
pub(super) const SHARES: f64 = 1e4;

/// How a counter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `n/total`, or `n of total`.
    Pair,
    /// `first-last`, a range of batches.
    Range,
    /// A number with a name.
    Named,
    /// `412it [`: a bar without a total.
    Endless,
    /// A number at the start of a line.
    Bare,
    /// A number in one of the first columns of a table.
    Column,
    /// Epochs with a fraction, in ten thousandths.
    Share,
}

/// A number that may count steps.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    /// The same for all frames that differ only in their numbers.
    pub(super) key: u64,
    pub(super) form: Form,
    pub(super) class: Class,
    pub(super) bar: bool,
    pub(super) n: u64,
    pub(super) total: Option<u64>,
    /// How surely the name is one of steps.
    pub(super) named: u8,
    /// What it counts, in the singular.
    pub(super) name: &'static str,
    /// What a bar says has passed, in seconds.
    pub(super) elapsed: Option<f64>,
    /// Whether it counts epochs.
    pub(super) epoch: bool,
    /// The epoch that is written into the counter itself.
    pub(super) own_epoch: Option<u64>,
    /// Whether it has no words at all, so that only the total tells one such counter from another.
    pub(super) wordless: bool,
    /// Where the text stands that it was read from.
    pub(super) shown: (usize, usize),
}

impl Counter {
    /// A counter of steps of which nothing more is known.
    pub(super) fn of_steps(key: u64, form: Form, n: u64, shown: (usize, usize)) -> Self {
        Self {
            key,
            form,
            class: Class::Training,
            bar: false,
            n,
            total: None,
            named: 0,
            name: "step",
            elapsed: None,
            epoch: false,
            own_epoch: None,
            wordless: false,
            shown,
        }
    }
}

/// A number that may be a time or a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) key: u64,
    pub(super) value: f64,
    pub(super) digits: u8,
}

/// What a line says beside its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// Steps of the whole run, and a hash of the words that say so.
    Steps(u64, u64),
    /// Epochs of the whole run.
    Epochs(u64),
    /// Batches of one optimizer step.
    Accumulation(u64),
    /// Samples of an epoch.
    Samples(u64),
    /// A number of steps that is told, whatever it says.
    Told(u64),
}

/// Which epoch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) n: u64,
    pub(super) total: Option<u64>,
    /// Whether it stands in front of the counter, so that the counter may be one within the epoch.
    pub(super) before: bool,
    /// Whether it is a bar of epochs, whose total is their number and not the last one's name.
    pub(super) bar: bool,
}

/// All that one frame tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) counters: Vec<Counter>,
    pub(super) epoch: Option<Epoch>,
    /// The line's own time in seconds from an arbitrary moment, and how fine it is.
    pub(super) stamp: Option<(f64, f64)>,
    /// Epochs that are done, with a fraction: `'epoch': 0.52`.
    pub(super) epochs_done: Option<f64>,
    pub(super) fields: Vec<Field>,
    pub(super) facts: Vec<Fact>,
}
