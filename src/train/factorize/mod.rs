//! Low-rank factors of the linears of a checkpoint.
//!
//! A linear `W`, `(d_out, d_in)`, becomes `D E` with `E` of `(rank, d_in)` and `D` of `(d_out, rank)`, as an LRT has it. The rank is
//! each linear's own, and never one at which the factors hold as many weights as the matrix.

mod calibrate;
mod error;
mod kind;
mod ranks;
mod solve;
mod sweep;
mod tensors;
mod text;
mod trial;
mod turns;
mod width;

use std::path::Path;

use faer::Mat;
use rayon::prelude::*;
use regex::Regex;
use serde::Serialize;

pub use self::calibrate::Calibration;
use self::calibrate::{Calibrated, calibrate};
pub use self::error::FactorizeError;
use self::ranks::Curve;
use self::solve::Solved;
pub use self::sweep::{Sweep, SweepPoint, SweepStep, sweep};
use self::tensors::{Factors, Place, as_stored, matrix, write};
pub use self::trial::{Bench, Reading, Trial, Tried};
pub use self::turns::PassTried;
pub use self::width::{WidthTried, Widths};
use crate::files::is_free;
use crate::model::read_hugging_face;
use crate::nn::{Checkpoint, linears};

/// How factors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// The nearest matrix of the rank: the truncated singular value decomposition (Eckart and Young 1936).
    Svd,
    /// The matrix of the rank that loses least on a text: the truncated decomposition of the matrix times the Cholesky factor of the
    /// second moments of its inputs (Wang et al. 2024, arXiv 2403.07378).
    Whitened,
    /// Drawn anew, for a model that is trained from there: factorisation by design (Winata et al. 2020).
    Random,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// This rank in every linear that has more weights than its factors would.
    Rank(usize),
    /// This share of the weights of the linears together, with the ranks at which the sum of their squared relative errors is least.
    Share(f64),
    /// The least rank at which the relative error of a linear is no larger: of a solver by a text, that on the text.
    Error(f64),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// How factors are found.
    pub solver: Solver,
    /// Linears whose names this regular expression finds, instead of all.
    pub only: Option<String>,
    /// Linears that are left as they are.
    pub skip: Option<String>,
    /// Of the draws.
    pub seed: u64,
    /// A text by which errors are weighted.
    pub calibration: Option<Calibration>,
}

/// A linear, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name in the checkpoint that is written.
    pub name: String,
    /// Its inputs.
    pub d_in: usize,
    /// Its outputs.
    pub d_out: usize,
    /// The rank of its factors; `None` where it stays one matrix.
    pub rank: Option<usize>,
    /// Weights of the matrix.
    pub weights_before: u64,
    /// Weights of what stands in its place.
    pub weights: u64,
    /// Frobenius norm of the difference over that of the matrix, of the weights as they are written; `None` of factors that were
    /// drawn.
    pub error: Option<f64>,
    /// The same of what comes out of the linear on the text; `None` without a text.
    pub weighted_error: Option<f64>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factorized {
    /// How factors were found.
    pub solver: Solver,
    /// The linears that were chosen.
    pub linears: Vec<Outcome>,
    /// Relative Frobenius error of them all together.
    pub error: Option<f64>,
    /// The same of what comes out of them on the text.
    pub weighted_error: Option<f64>,
    /// Tokens of the text that the model has read.
    pub calibration_tokens: Option<usize>,
    /// Weights of the whole checkpoint before.
    pub weights_before: u64,
    /// Weights of what was written.
    pub weights: u64,
}

impl Factorized {
    /// Weights of the chosen linears, before and now.
    #[must_use]
    pub fn linear_weights(&self) -> (u64, u64) {
        let sum = |of: fn(&Outcome) -> u64| self.linears.iter().map(of).sum();
        (sum(|l| l.weights_before), sum(|l| l.weights))
    }

    /// The share of their weights that is kept.
    #[must_use]
    pub fn kept(&self) -> f64 {
        let (before, now) = self.linear_weights();
        now as f64 / before.max(1) as f64
    }
}

/// Factorises a checkpoint into the folder `output`: `model.safetensors`, `config.json`, and the files of its tokenizer. While a text is
/// read, `progress` is told how many sequences of how many have been.
///
/// # Errors
/// As [`Decomposed::new`] and [`Decomposed::write`].
pub fn factorize(
    path: &Path,
    output: &Path,
    (request, keep): (&Request, Keep),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Factorized, FactorizeError> {
    is_free(output).map_err(|source| FactorizeError::Write { path: output.to_owned(), source })?;
    request.check(keep)?;
    Decomposed::new(path, request, progress)?.write(keep, output)
}

impl Request {
    /// Whether so much can be kept by this solver.
    ///
    /// # Errors
    /// If factors that are drawn are to have an error.
    fn check(&self, keep: Keep) -> Result<(), FactorizeError> {
        match (self.solver, keep) {
            (Solver::Random, Keep::Error(_)) => Err(FactorizeError::ErrorOfDraws),
            _ => Ok(()),
        }
    }
}

/// A checkpoint whose linears are taken apart, before it is said how much of them is kept: several shares can be written of it.
pub struct Decomposed {
    request: Request,
    checkpoint: Checkpoint,
    all: Vec<Place>,
    /// Places among all of those that are factorised, in their order.
    chosen: Vec<usize>,
    calibrated: Option<Calibrated>,
    solved: Vec<Solved>,
}

impl Decomposed {
    /// Reads a checkpoint and takes its linears apart. While a text is read, `progress` is told how many sequences of how many have
    /// been.
    ///
    /// # Errors
    /// If the checkpoint cannot be read, is of no model that is built here, or has values that are no numbers; if nothing is chosen; if
    /// the text is none or too short, or makes no tokens of the model.
    pub fn new(path: &Path, request: &Request, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, FactorizeError> {
        match (request.solver, &request.calibration) {
            (Solver::Random, Some(_)) => return Err(FactorizeError::CalibrationOfDraws),
            (Solver::Whitened, None) => return Err(FactorizeError::Uncalibrated),
            _ => {}
        }
        let checkpoint = Checkpoint::open(path)?;
        let text = checkpoint.config().ok_or_else(|| FactorizeError::NoConfig { path: path.to_owned() })?;
        let (config, _) = read_hugging_face(text.as_bytes())?;
        if checkpoint.is_factorized() {
            return Err(FactorizeError::Already { path: path.to_owned() });
        }
        let all = linears(&config)?.into_iter().map(|linear| as_stored(&checkpoint, linear));
        let all = all.collect::<Result<Vec<Place>, _>>()?;
        let chosen = chosen(&all, request)?;
        let places: Vec<&Place> = chosen.iter().map(|i| &all[*i]).collect();
        let calibrated = request.calibration.as_ref();
        let calibrated = calibrated.map(|asked| calibrate(&checkpoint, &config, (&places, asked), progress));
        let calibrated = calibrated.transpose()?;
        let solved = places.par_iter().enumerate().map(|(i, place)| {
            let w = matrix(&checkpoint, place)?;
            let by_text = calibrated.as_ref().filter(|_| request.solver == Solver::Whitened);
            Ok(match request.solver {
                Solver::Svd | Solver::Whitened => Solved::by_singular_values(&w, by_text.map(|text| text.root(i)))
                    .ok_or_else(|| FactorizeError::NoDecomposition { name: place.name.clone() })?,
                Solver::Random => Solved::random(&w),
            })
        });
        let solved = solved.collect::<Result<Vec<Solved>, FactorizeError>>()?;
        Ok(Self { request: request.clone(), checkpoint, all, chosen, calibrated, solved })
    }

    /// The rank of each linear that was chosen; `None` where it stays one matrix.
    ///
    /// # Errors
    /// If what is asked for cannot be kept.
    pub fn ranks(&self, keep: Keep) -> Result<Vec<Option<usize>>, FactorizeError> {
        ranks_of(&self.solved, self.request.solver, keep)
    }

    /// Writes the factors of as much as is kept into the folder `output`.
    ///
    /// # Errors
    /// If what is asked for cannot be kept, or `output` is there already or cannot be written. Nothing has been written then.
    pub fn write(&self, keep: Keep, output: &Path) -> Result<Factorized, FactorizeError> {
        is_free(output).map_err(|source| FactorizeError::Write { path: output.to_owned(), source })?;
        self.request.check(keep)?;
        let Request { solver, seed, .. } = self.request;
        let chosen: Vec<&Place> = self.chosen.iter().map(|i| &self.all[*i]).collect();
        let ranks = self.ranks(keep)?;
        let factors = chosen.par_iter().zip(&self.solved).zip(&ranks).map(|((place, solved), rank)| {
            rank.map(|rank| Factors {
                place,
                matrices: match solver {
                    Solver::Svd | Solver::Whitened => solved.factors(rank),
                    Solver::Random => solve::drawn(&place.name, seed, place.size(), rank, solved.deviation()),
                },
            })
        });
        let factors: Vec<Option<Factors>> = factors.collect();
        let calibrated = self.calibrated.as_ref();
        let (linears, [error, weighted_error]) = outcomes(&self.checkpoint, (&chosen, &factors), solver, calibrated)?;
        let made: Vec<Factors> = factors.into_iter().flatten().collect();
        let (weights_before, weights) = write(&self.checkpoint, &self.all, &made, solver, output)?;
        let calibration_tokens = calibrated.map(|calibrated| calibrated.tokens);
        Ok(Factorized { solver, linears, error, weighted_error, calibration_tokens, weights_before, weights })
    }
}

/// The linears that are factorised, by their place among all.
fn chosen(all: &[Place], request: &Request) -> Result<Vec<usize>, FactorizeError> {
    let pattern = |text: &Option<String>| {
        let regex = |text: &String| {
            Regex::new(text).map_err(|e| FactorizeError::Pattern { pattern: text.clone(), reason: e.to_string() })
        };
        text.as_ref().map(regex).transpose()
    };
    let (only, skip) = (pattern(&request.only)?, pattern(&request.skip)?);
    let finds = |regex: &Regex, place: &Place| place.names().any(|name| regex.is_match(name));
    let is_chosen = |place: &Place| {
        only.as_ref().is_none_or(|only| finds(only, place)) && !skip.as_ref().is_some_and(|skip| finds(skip, place))
    };
    let chosen: Vec<usize> = (0..all.len()).filter(|i| is_chosen(&all[*i])).collect();
    if chosen.is_empty() {
        let example = all.first().map(|place| place.name.clone()).unwrap_or_default();
        return Err(FactorizeError::NothingChosen { example });
    }
    Ok(chosen)
}

/// The rank of each linear; `None` where it stays one matrix.
fn ranks_of(matrices: &[Solved], solver: Solver, keep: Keep) -> Result<Vec<Option<usize>>, FactorizeError> {
    let curves: Vec<Curve> = matrices.iter().map(Solved::curve).collect();
    match (keep, solver) {
        (Keep::Rank(rank), _) => {
            Ok(curves.iter().map(|c| Some(rank).filter(|rank| *rank <= ranks::most(c.size))).collect())
        }
        (Keep::Error(error), _) => Ok(curves.iter().map(|curve| ranks::of_error(curve, error)).collect()),
        (Keep::Share(share), Solver::Random) => {
            Ok(curves.iter().map(|c| ranks::of_even_share(c.size, share)).collect())
        }
        (Keep::Share(share), Solver::Svd | Solver::Whitened) => {
            ranks::of_share(&curves, share).map_err(|least| FactorizeError::TooLittle { share, least })
        }
    }
}

/// A squared norm of what is off, and of what it is off from.
type Off = (f64, f64);

/// The relative error. Of a matrix of zeros nothing is lost.
fn relative((off, of): Off) -> f64 {
    if of > 0.0 { (off / of).sqrt() } else { 0.0 }
}

/// What became of each linear, and the errors of all, plain and on the text.
fn outcomes(
    checkpoint: &Checkpoint,
    (chosen, factors): (&[&Place], &[Option<Factors>]),
    solver: Solver,
    calibrated: Option<&Calibrated>,
) -> Result<(Vec<Outcome>, [Option<f64>; 2]), FactorizeError> {
    let measured = chosen.par_iter().zip(factors).enumerate().map(|(i, (place, factors))| {
        let w = matrix(checkpoint, place)?;
        let kind = tensors::kind_of(checkpoint, place)?;
        let off = factors.as_ref().map(|factors| solve::difference(&w, &factors.matrices.as_read(kind)));
        let norms = |on: &dyn Fn(&Mat<f64>) -> f64| -> Off { (off.as_ref().map_or(0.0, on), on(&w)) };
        let on_text = |root: &Mat<f64>| norms(&|m| (m * root).squared_norm_l2());
        Ok([
            (solver != Solver::Random).then(|| norms(&|m| m.squared_norm_l2())),
            calibrated.map(|calibrated| on_text(calibrated.root(i))),
        ])
    });
    let measured = measured.collect::<Result<Vec<[Option<Off>; 2]>, FactorizeError>>()?;
    let linears = chosen.iter().zip(factors).zip(&measured).map(|((place, factors), measured)| {
        let (d_in, d_out) = place.size();
        let rank = factors.as_ref().map(Factors::rank);
        let weights_before = (d_in * d_out) as u64;
        let [error, weighted_error] = measured.map(|off| off.map(relative));
        Outcome {
            name: place.name.clone(),
            d_in,
            d_out,
            rank,
            weights_before,
            weights: rank.map_or(weights_before, |rank| (rank * (d_in + d_out)) as u64),
            error,
            weighted_error,
        }
    });
    let total = |which: usize| {
        let all = measured.iter().map(|measured| measured[which]).collect::<Option<Vec<Off>>>()?;
        Some(relative(all.iter().fold((0.0, 0.0), |(a, b), (off, of)| (a + off, b + of))))
    };
    Ok((linears.collect(), [total(0), total(1)]))
}
