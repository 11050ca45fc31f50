//! Draws of the inputs of an estimate: shared by name, and one group at a time can be frozen to see what it does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::estimate::request::input::Input;
use crate::estimate::steps::model::{Loadings, SOFTWARE};
use crate::stats::{Distribution, Stream};

/// Where the draws come from. Inputs of one name have the same draws, whoever asks.
pub(in crate::estimate) struct MonteCarlo {
    seed: u64,
    trials: usize,
    frozen: Option<String>,
    normals: RefCell<BTreeMap<String, Rc<Vec<f64>>>>,
}

/// The prefix of loadings that are constants of the hardware model; frozen together.
const HARDWARE_MODEL: &str = "efficiency of this hardware";

impl MonteCarlo {
    pub(in crate::estimate) fn new(seed: u64, trials: usize) -> Self {
        Self { seed, trials, frozen: None, normals: RefCell::default() }
    }

    /// The same draws, with the inputs called `group` held at their centre.
    pub(in crate::estimate) fn freezing(&self, group: &str) -> Self {
        Self { seed: self.seed, trials: self.trials, frozen: Some(group.to_owned()), normals: self.normals.clone() }
    }

    pub(in crate::estimate) fn trials(&self) -> usize {
        self.trials
    }

    /// Draws of what is called `name`.
    pub(in crate::estimate) fn draws(&self, name: &str, distribution: Distribution) -> Vec<f64> {
        self.of_group(name, name, distribution)
    }

    /// Draws of a stream of its own, which is frozen with `group`.
    pub(in crate::estimate) fn of_group(&self, group: &str, name: &str, distribution: Distribution) -> Vec<f64> {
        if self.frozen.as_deref() == Some(group) {
            return vec![distribution.centre(); self.trials];
        }
        Stream::new(self.seed, name).draws(distribution, self.trials)
    }

    /// Draws of an input; ones if there is none.
    pub(in crate::estimate) fn input_or(&self, input: Option<&Input>, otherwise: f64) -> Vec<f64> {
        input.map_or_else(|| vec![otherwise; self.trials], |i| self.draws(i.name, i.distribution))
    }

    /// The factor of one of `choices` in each trial, each as often as its weight says; the same choice for all that are asked
    /// with as many. Ones where there is none.
    pub(in crate::estimate) fn chosen(&self, choices: &[(f64, f64)]) -> Vec<f64> {
        if choices.is_empty() {
            return vec![1.0; self.trials];
        }
        if self.frozen.as_deref() == Some(OF_SOFTWARE) {
            let ln: f64 = choices.iter().map(|(weight, factor)| weight * factor.ln()).sum();
            return vec![ln.exp(); self.trials];
        }
        let draws = Stream::new(self.seed, "class of software").draws(Distribution::Uniform(0.0, 1.0), self.trials);
        let chosen = |draw: f64| {
            let mut below = 0.0;
            let found = choices.iter().find(|(weight, _)| {
                below += weight;
                draw < below
            });
            found.or(choices.last()).map_or(1.0, |(_, factor)| *factor)
        };
        draws.into_iter().map(chosen).collect()
    }

    /// `exp(sum of loading x standard draw)` in each trial.
    pub(in crate::estimate) fn factors(&self, loadings: &Loadings) -> Vec<f64> {
        let mut ln = vec![0.0; self.trials];
        for (name, loading) in loadings {
            if loading.abs() < 1e-5 || self.frozen.as_deref() == Some(group_of(name)) {
                continue;
            }
            let mut normals = self.normals.borrow_mut();
            let draws = normals.entry(name.clone()).or_insert_with(|| {
                // Programs differ with heavy tails: 95 % of the draws lie where those of a normal distribution do.
                let standard = if name == SOFTWARE {
                    Distribution::StudentT(0.0, 1.960 / 2.776, 4.0)
                } else {
                    Distribution::Normal(0.0, 1.0)
                };
                Rc::new(Stream::new(self.seed, &format!("loading {name}")).draws(standard, self.trials))
            });
            ln.iter_mut().zip(draws.iter()).for_each(|(ln, z)| *ln += loading * z);
        }
        ln.into_iter().map(f64::exp).collect()
    }
}

/// What people call the group of what is not known of the software.
pub(in crate::estimate) const OF_SOFTWARE: &str = "efficiency of the software";

/// What people call the group that a loading belongs to.
pub(in crate::estimate) fn group_of(loading: &str) -> &str {
    match loading {
        SOFTWARE => OF_SOFTWARE,
        name if name.starts_with("record ") => "transfer from the record",
        _ => HARDWARE_MODEL,
    }
}
