//! Several shares of the weights of one checkpoint, each written and tried beside the dense model.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::trial::{Bench, Trial, Tried};
use super::{Decomposed, FactorizeError, Factorized, Keep, Request, Solver};
use crate::files::{JSON_SCHEMA, is_free};
use crate::train::energy::Machine;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sweep {
    /// Version of the schema.
    pub schema: u32,
    /// Name of the checkpoint.
    pub checkpoint: String,
    /// How factors were found.
    pub solver: Solver,
    /// Weights of the dense checkpoint.
    pub weights: u64,
    /// What processed it.
    pub cpu: String,
    /// Threads that computed.
    pub threads: usize,
    /// A share each, the largest first.
    pub points: Vec<SweepPoint>,
}

/// A share of the weights that was kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The share of the weights of the linears that was asked for.
    pub keep: f64,
    /// Where its checkpoint is.
    pub folder: PathBuf,
    /// What became of the linears.
    pub factorized: Factorized,
    /// What it takes and how well it reads.
    pub tried: Tried,
}

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SweepStep {
    /// So many sequences of so many were read, by which factors are chosen.
    Calibrating(usize, usize),
    /// So many turns of so many are done, of all shares together.
    Trying(usize, usize),
}

/// The folder of a share in that of the sweep.
fn folder_of(keep: f64) -> String {
    format!("keep-{keep}")
}

/// Writes a checkpoint for each share into the folder `output`, and tries each.
///
/// # Errors
/// As [`Decomposed::new`], [`Decomposed::write`], [`Bench::new`] and [`Bench::try_out`]. What cannot be kept is found out before
/// anything is written.
pub fn sweep(
    path: &Path,
    output: &Path,
    (request, shares): (&Request, &[f64]),
    (trial, machine): (&Trial, &Machine<'_>),
    progress: &mut dyn FnMut(SweepStep),
) -> Result<Sweep, FactorizeError> {
    is_free(output).map_err(|source| FactorizeError::Write { path: output.to_owned(), source })?;
    let mut shares = shares.to_vec();
    shares.sort_by(|a, b| b.total_cmp(a));
    shares.dedup();
    let bench = Bench::new(path, trial)?;
    let decomposed = Decomposed::new(path, request, &mut |done, of| progress(SweepStep::Calibrating(done, of)))?;
    for share in &shares {
        decomposed.ranks(Keep::Share(*share))?;
    }
    let mut points = Vec::new();
    for (i, &keep) in shares.iter().enumerate() {
        let folder = output.join(folder_of(keep));
        let factorized = decomposed.write(Keep::Share(keep), &folder)?;
        let tried = bench.try_out((&folder, factorized.kept()), machine, &mut |done, of| {
            progress(SweepStep::Trying(i * of + done, shares.len() * of));
        })?;
        points.push(SweepPoint { keep, folder, factorized, tried });
    }
    Ok(Sweep {
        schema: JSON_SCHEMA,
        checkpoint: path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        solver: request.solver,
        weights: points.first().map_or(0, |point| point.factorized.weights_before),
        cpu: machine.facts.cpu.clone(),
        threads: rayon::current_num_threads(),
        points,
    })
}
