//! Low-rank factors of the linears of a checkpoint.
//!
//! A linear `W`, `(d_out, d_in)`, becomes `D E` with `E` of `(rank, d_in)` and `D` of `(d_out, rank)`, as an LRT has it. The rank is
//! each linear's own, and never one at which the factors hold as many weights as the matrix.

mod error;
mod kind;
mod ranks;
mod solve;
mod tensors;

use std::path::Path;

use rayon::prelude::*;
use regex::Regex;
use serde::Serialize;

pub use self::error::FactorizeError;
use self::ranks::Curve;
use self::solve::Solved;
use self::tensors::{Factors, Place, as_stored, matrix, write};
use crate::files::is_free;
use crate::model::read_hugging_face;
use crate::nn::{Checkpoint, linears};

/// How factors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// The nearest matrix of the rank: the truncated singular value decomposition (Eckart and Young 1936).
    Svd,
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
    /// The least rank at which the relative error of a linear is no larger.
    Error(f64),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// How factors are found.
    pub solver: Solver,
    /// How much is kept.
    pub keep: Keep,
    /// Linears whose names this regular expression finds, instead of all.
    pub only: Option<String>,
    /// Linears that are left as they are.
    pub skip: Option<String>,
    /// Of the draws.
    pub seed: u64,
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
}

/// Factorises a checkpoint into the folder `output`: `model.safetensors`, `config.json`, and the files of its tokenizer.
///
/// # Errors
/// If the checkpoint cannot be read, is of no model that is built here, or has values that are no numbers; if nothing is chosen, or what
/// is asked for cannot be kept; if `output` is there already or cannot be written. Nothing has been written then.
pub fn factorize(path: &Path, output: &Path, request: &Request) -> Result<Factorized, FactorizeError> {
    if request.solver == Solver::Random && matches!(request.keep, Keep::Error(_)) {
        return Err(FactorizeError::ErrorOfDraws);
    }
    let not_written = |source| FactorizeError::Write { path: output.to_owned(), source };
    is_free(output).map_err(not_written)?;
    let checkpoint = Checkpoint::open(path)?;
    let text = checkpoint.config().ok_or_else(|| FactorizeError::NoConfig { path: path.to_owned() })?;
    let (config, _) = read_hugging_face(text.as_bytes())?;
    if checkpoint.is_factorized() {
        return Err(FactorizeError::Already { path: path.to_owned() });
    }
    let all = linears(&config)?.into_iter().map(|linear| as_stored(&checkpoint, linear));
    let all = all.collect::<Result<Vec<Place>, _>>()?;
    let chosen = chosen(&all, request)?;
    let solved = chosen.par_iter().map(|place| {
        let w = matrix(&checkpoint, place)?;
        Ok(match request.solver {
            Solver::Svd => {
                Solved::svd(&w).ok_or_else(|| FactorizeError::NoDecomposition { name: place.name.clone() })?
            }
            Solver::Random => Solved::random(&w),
        })
    });
    let solved = solved.collect::<Result<Vec<Solved>, FactorizeError>>()?;
    let ranks = ranks_of(&solved, request)?;
    let factors = chosen.par_iter().zip(&solved).zip(&ranks).map(|((place, solved), rank)| {
        let drawn = |rank| solve::drawn(&place.name, request.seed, place.size(), rank, solved.deviation());
        rank.map(|rank| Factors {
            place,
            matrices: match request.solver {
                Solver::Svd => solved.factors(rank),
                Solver::Random => drawn(rank),
            },
        })
    });
    let factors: Vec<Option<Factors>> = factors.collect();
    let (linears, error) = outcomes(&checkpoint, (&chosen, &factors), request)?;
    let made: Vec<Factors> = factors.into_iter().flatten().collect();
    let (weights_before, weights) = write(&checkpoint, &all, &made, request.solver, output)?;
    Ok(Factorized { solver: request.solver, linears, error, weights_before, weights })
}

/// The linears that are factorised.
fn chosen<'a>(all: &'a [Place], request: &Request) -> Result<Vec<&'a Place>, FactorizeError> {
    let pattern = |text: &Option<String>| {
        let regex = |text: &String| {
            Regex::new(text).map_err(|e| FactorizeError::Pattern { pattern: text.clone(), reason: e.to_string() })
        };
        text.as_ref().map(regex).transpose()
    };
    let (only, skip) = (pattern(&request.only)?, pattern(&request.skip)?);
    let finds = |regex: &Regex, place: &Place| place.names().any(|name| regex.is_match(name));
    let chosen: Vec<&Place> = all
        .iter()
        .filter(|place| only.as_ref().is_none_or(|only| finds(only, place)))
        .filter(|place| !skip.as_ref().is_some_and(|skip| finds(skip, place)))
        .collect();
    if chosen.is_empty() {
        let example = all.first().map(|place| place.name.clone()).unwrap_or_default();
        return Err(FactorizeError::NothingChosen { example });
    }
    Ok(chosen)
}

/// The rank of each linear; `None` where it stays one matrix.
fn ranks_of(solved: &[Solved], request: &Request) -> Result<Vec<Option<usize>>, FactorizeError> {
    let curves: Vec<Curve> = solved.iter().map(Solved::curve).collect();
    match (request.keep, request.solver) {
        (Keep::Rank(rank), _) => {
            Ok(curves.iter().map(|c| Some(rank).filter(|rank| *rank <= ranks::most(c.size))).collect())
        }
        (Keep::Error(error), _) => Ok(curves.iter().map(|curve| ranks::of_error(curve, error)).collect()),
        (Keep::Share(share), Solver::Random) => {
            Ok(curves.iter().map(|c| ranks::of_even_share(c.size, share)).collect())
        }
        (Keep::Share(share), Solver::Svd) => {
            ranks::of_share(&curves, share).map_err(|least| FactorizeError::TooLittle { share, least })
        }
    }
}

/// What became of each linear, and the error of all.
fn outcomes(
    checkpoint: &Checkpoint,
    (chosen, factors): (&[&Place], &[Option<Factors>]),
    request: &Request,
) -> Result<(Vec<Outcome>, Option<f64>), FactorizeError> {
    let measured = chosen.par_iter().zip(factors).map(|(place, factors)| {
        let w = matrix(checkpoint, place)?;
        let kind = tensors::kind_of(checkpoint, place)?;
        let off = factors.as_ref().map_or(0.0, |factors| solve::difference(&w, &factors.matrices.as_read(kind)));
        Ok((off, w.squared_norm_l2()))
    });
    let measured = measured.collect::<Result<Vec<(f64, f64)>, FactorizeError>>()?;
    let is_solved = request.solver != Solver::Random;
    // Of a matrix of zeros nothing is lost.
    let relative = |(off, of): (f64, f64)| is_solved.then(|| if of > 0.0 { (off / of).sqrt() } else { 0.0 });
    let linears = chosen.iter().zip(factors).zip(&measured).map(|((place, factors), measured)| {
        let (d_in, d_out) = place.size();
        let rank = factors.as_ref().map(Factors::rank);
        let weights_before = (d_in * d_out) as u64;
        Outcome {
            name: place.name.clone(),
            d_in,
            d_out,
            rank,
            weights_before,
            weights: rank.map_or(weights_before, |rank| (rank * (d_in + d_out)) as u64),
            error: relative(*measured).filter(|_| is_solved),
        }
    });
    let total = measured.iter().fold((0.0, 0.0), |(a, b), (off, of)| (a + off, b + of));
    Ok((linears.collect(), relative(total)))
}
