//! The fitted model: step times with the uncertainty that the published runs leave.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::figures::DeviceFigures;
use super::parameters::{Effect, Layout, SHARED, SoftwareSpread, at};
use super::step_time::{StepTime, Work, step_time};
use crate::catalog::{SoftwareClass, efficiency_table};
use crate::stats::{Cholesky, Distribution};

/// A constant as it stands in `hardware/efficiency.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Its name: a shared one, or `design:`, `device:` or `collection:` and whose it is.
    pub name: String,
    /// Its natural logarithm (`process_exponent`: itself).
    pub value: f64,
    /// Standard error of that.
    pub standard_error: f64,
}

/// What `hardware/efficiency.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficiencyTable {
    /// What it was fitted to, and how it is made again.
    pub source: String,
    /// Throughputs in the fit.
    pub n_runs: usize,
    /// Relative scatter of a run that the constants do not explain.
    pub run_sd: f64,
    /// By how much held-out sources scatter more than all that is known says.
    pub stretch: f64,
    /// Spread between programs of a class of software (ln): eager, compiled, optimised.
    pub software_spread: SoftwareSpread,
    /// The constants.
    pub constants: Vec<Constant>,
    /// Part of its way from idle power to its limit that a device goes when it never waits, and its scatter.
    pub busy_power: (f64, f64),
    /// Rows of the lower inverse factor of the covariance of the constants, one after the other.
    pub precision: Vec<f64>,
}

/// The fitted model.
#[derive(Debug, Clone)]
pub struct Efficiency {
    layout: Layout,
    values: Vec<f64>,
    precision: Vec<Vec<f64>>,
    run_sd: f64,
    stretch: f64,
    spread: SoftwareSpread,
    busy_power: (f64, f64),
    n_runs: usize,
}

/// The name of the loading of a program of which nothing was published: its draws have heavy tails.
pub(in crate::estimate) const SOFTWARE: &str = "software";

/// How a number depends on standard normal draws that estimates share: `exp(sum of loading x draw)`.
pub type Loadings = Vec<(String, f64)>;

impl Efficiency {
    /// The model whose constants the program carries.
    ///
    /// # Panics
    /// If the embedded table is damaged, which a test rules out.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: OnceLock<Efficiency> = OnceLock::new();
        EMBEDDED.get_or_init(|| {
            let table = serde_json::from_str(efficiency_table()).expect("the embedded table is read by a test");
            Self::new(&table)
        })
    }

    /// The model with the constants of `table`.
    #[must_use]
    pub fn new(table: &EfficiencyTable) -> Self {
        let n = table.constants.len();
        let mut rows = Vec::with_capacity(n);
        let mut rest = table.precision.as_slice();
        for i in 0..n {
            let (row, after) = rest.split_at((i + 1).min(rest.len()));
            rows.push(row.to_vec());
            rest = after;
        }
        Self {
            layout: Layout::new(table.constants[SHARED.len()..].iter().map(|c| c.name.clone())),
            values: table.constants.iter().map(|c| c.value).collect(),
            precision: rows,
            run_sd: table.run_sd,
            stretch: table.stretch,
            spread: table.software_spread,
            busy_power: table.busy_power,
            n_runs: table.n_runs,
        }
    }

    /// Whether any published run is of a device of this design.
    #[must_use]
    pub fn knows_design(&self, design: Option<&str>) -> bool {
        design.is_some_and(|design| self.layout.effect(Effect::Design, design).is_some())
    }

    /// Published throughputs behind it.
    #[must_use]
    pub fn n_runs(&self) -> usize {
        self.n_runs
    }

    /// Part of the way from idle power to the limit at full load, and its standard deviation.
    #[must_use]
    pub fn busy_power(&self) -> (f64, f64) {
        self.busy_power
    }

    /// The most probable constants, and which lies where.
    pub(super) fn constants(&self) -> (&[f64], &Layout) {
        (&self.values, &self.layout)
    }

    /// Spread between programs of a class (ln), as wide as what was held out makes it.
    #[must_use]
    pub fn spread_of(&self, class: SoftwareClass) -> f64 {
        Effect::Software(class).sd(&self.spread) * self.stretch
    }

    /// What another program takes, where one of class `own` takes 1 and the model gives the ratio of both: programs of a class
    /// differ, and each of the two may be any of them.
    #[must_use]
    pub fn to_other_software(&self, own: SoftwareClass, other: SoftwareClass, ratio: f64) -> Distribution {
        Distribution::LogNormal(ratio, self.spread_of(own).hypot(self.spread_of(other)).exp())
    }

    /// Relative scatter of step times between devices that wait for each other.
    #[must_use]
    pub fn straggler_sd(&self) -> f64 {
        self.values[at::STRAGGLER].exp()
    }

    /// Seconds of `work`, at the most probable constants.
    #[must_use]
    pub fn step(&self, figures: &DeviceFigures, work: &Work) -> StepTime {
        step_time(&self.values, &self.layout, figures, work)
    }

    /// How `number` of a step depends on what is not known: the constants, the design and the device where nothing was
    /// published of them, the software, and what no constant explains. All architectures on a device share the draws.
    ///
    #[must_use]
    pub fn loadings(&self, figures: &DeviceFigures, work: &Work, number: impl Fn(&StepTime) -> f64) -> Loadings {
        const STEP: f64 = 1e-4;
        let unseen: Vec<(Effect, String)> = self.unseen(figures);
        let extra = unseen.iter().map(|(effect, whose)| format!("{}:{whose}", effect.name()));
        let layout = Layout::new(self.layout.names()[SHARED.len()..].iter().cloned().chain(extra));
        let mut values = self.values.clone();
        values.resize(layout.names().len(), 0.0);
        let base = number(&step_time(&values, &layout, figures, work)).ln();
        let mut gradient = vec![0.0; values.len()];
        for (i, slope) in gradient.iter_mut().enumerate() {
            if !matters(&layout, i, figures) {
                continue;
            }
            let kept = values[i];
            values[i] += STEP;
            *slope = (number(&step_time(&values, &layout, figures, work)).ln() - base) / STEP;
            values[i] = kept;
        }
        let n = self.values.len();
        let known = self.forward(&gradient[..n]);
        let mut loadings: Loadings =
            known.into_iter().zip(self.layout.names()).map(|(x, name)| (name.clone(), x * self.stretch)).collect();
        for ((effect, whose), slope) in unseen.iter().zip(&gradient[n..]) {
            loadings.push((format!("{}:{whose}", effect.name()), slope * effect.sd(&self.spread) * self.stretch));
        }
        let class = work.software().class;
        let software = self.run_sd.hypot(Effect::Software(class).sd(&self.spread));
        loadings.push((SOFTWARE.to_owned(), software * self.stretch));
        loadings
    }

    /// The effects of this device of which nothing was published.
    fn unseen(&self, figures: &DeviceFigures) -> Vec<(Effect, String)> {
        let design = figures.architecture.clone().unwrap_or_else(|| figures.id.clone());
        let whose = [
            (Effect::Design, design.clone()),
            (Effect::DesignPower, design.clone()),
            (Effect::DesignAttention, design),
            (Effect::Device, figures.id.clone()),
        ];
        let vendor = figures.vendor.clone().map(|vendor| (Effect::Vendor, vendor));
        whose.into_iter().chain(vendor).filter(|(effect, whose)| self.layout.effect(*effect, whose).is_none()).collect()
    }

    fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(b.len());
        for (row, b) in self.precision.iter().zip(b) {
            let dot: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
            x.push((b - dot) / row[x.len()]);
        }
        x
    }

    /// Constants and precision as a table.
    pub(super) fn table(
        layout: &Layout,
        values: &[f64],
        precision: &Cholesky,
        rest: (usize, f64, f64, SoftwareSpread, (f64, f64)),
    ) -> EfficiencyTable {
        let n = values.len();
        let unit = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
        let standard_error = |i: usize| precision.forward(&unit(i)).iter().map(|x| x * x).sum::<f64>().sqrt();
        let round = |x: f64| (x * 1e5).round() / 1e5;
        let constants = layout.names().iter().zip(values).enumerate().map(|(i, (name, value))| Constant {
            name: name.clone(),
            value: round(*value),
            standard_error: round(standard_error(i)),
        });
        let (n_runs, run_sd, stretch, spread, busy_power) = rest;
        EfficiencyTable {
            source: "fitted to hardware/published_runs.csv; made again by \
                     `cargo test --test integration the_efficiencies_are_written_again -- --ignored`"
                .to_owned(),
            n_runs,
            run_sd,
            stretch: round(stretch),
            software_spread: spread.map(round),
            constants: constants.collect(),
            busy_power: (round(busy_power.0), round(busy_power.1)),
            precision: precision.rows().into_iter().flatten().map(six_digits).collect(),
        }
    }
}

/// Whether constant `i` bears on a device at all: spares the work for effects of others.
fn matters(layout: &Layout, i: usize, figures: &DeviceFigures) -> bool {
    let Some((_, whose)) = layout.names()[i].split_once(':') else { return true };
    whose == figures.id || [&figures.architecture, &figures.vendor].iter().any(|own| own.as_deref() == Some(whose))
}

/// `x` to six significant digits.
fn six_digits(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}
