//! What equal quality takes: architectures trained on the same text, and the steps, seconds and joules of each to an equal loss.

mod compare;
mod error;
mod record;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use self::compare::{Basis, Comparison, Curve, Factor, NotReached, compare};
pub use self::error::QualityError;
pub use self::record::{Meter, Quality, RECORD_FILE, Run};
use super::pretrain::{self, Event, Init, Machine, Point, PretrainError, Request, Training};
use crate::files::{FolderLock, is_free};
use crate::model::Arch;

/// Below the folder of a comparison: a folder for each training.
const RUNS: &str = "runs";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is compared, dense among them.
    pub archs: Vec<Arch>,
    /// So many seeds, from 0.
    pub seeds: u64,
    /// How the factors of low-rank architectures begin.
    pub init: Init,
    /// Whether dense matrices guide them in the first half of the steps.
    pub guided: bool,
    /// Steps of each training.
    pub steps: u64,
    /// What all trainings share. Its folder is that of the comparison; its architecture, beginning, guide, end and seed are not
    /// looked at.
    pub shared: Request,
}

/// Which of the trainings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// From 1.
    pub number: usize,
    /// Of so many.
    pub of: usize,
    /// The architecture.
    pub arch: Arch,
    /// The seed.
    pub seed: u64,
    /// Seconds since all began.
    pub elapsed_s: f64,
    /// Seconds until all is done, if steps stay as long as they were on average; `None` before the first.
    pub left_s: Option<f64>,
}

/// Trains every architecture with every seed into `plan.shared.output`, and compares them.
///
/// Seed by seed, all architectures: what is interrupted leaves whole rounds. A training that has all its steps is not trained again.
///
/// # Errors
/// If what is asked for cannot be compared, or a training fails: those before it are still there.
pub fn quality(
    plan: &Plan,
    machine: &Machine<'_>,
    observe: &mut dyn FnMut(Place, Event<'_>),
) -> Result<Quality, QualityError> {
    let requests = plan.requests()?;
    let folder = &plan.shared.output;
    if !plan.shared.resume {
        is_free(folder).map_err(|_| PretrainError::Exists { path: folder.clone() })?;
    } else if !folder.join(RUNS).is_dir() {
        return Err(QualityError::NothingToResume { path: folder.clone() });
    }
    // Of two that begin, only one can put its first training there.
    let lock = plan.shared.resume.then(|| FolderLock::take(folder, RECORD_FILE)).transpose();
    let _lock = lock.map_err(PretrainError::from)?;
    let begun = Instant::now();
    let of = requests.len();
    let (mut made, mut trained) = (0, Vec::new());
    // The first trains the vocabulary; it would be the same one of each.
    let mut tokenizer = plan.shared.tokenizer.clone();
    for (i, mut request) in requests.into_iter().enumerate() {
        let to_do = plan.steps * (of - i) as u64;
        request.tokenizer.clone_from(&tokenizer);
        request.resume = plan.shared.resume && pretrain::is_begun(&request.output);
        let (arch, seed) = (request.arch, request.seed);
        let mut first = None;
        let mut last = 0;
        let done = pretrain::pretrain(&request, machine, &mut |event| {
            let step = match &event {
                Event::Begins(training) => training.steps,
                Event::Evaluated(point) => point.step,
            };
            let here = step - *first.get_or_insert(step);
            last = here;
            let elapsed_s = begun.elapsed().as_secs_f64();
            let (made, left) = (made + here, to_do.saturating_sub(step));
            let left_s = (made > 0).then(|| elapsed_s / made as f64 * left as f64);
            observe(Place { number: i + 1, of, arch, seed, elapsed_s, left_s }, event);
        })?;
        made += last;
        tokenizer = tokenizer.or_else(|| Some(pretrain::tokenizer_of(&request.output)));
        trained.push((arch, path_of(arch, seed), done));
    }
    Quality::of(plan, machine, trained).ok_or_else(|| QualityError::Incomparable { path: folder.clone() })
}

impl Plan {
    /// Each training, in the order in which they are made; all have been checked as far as can be without the text.
    fn requests(&self) -> Result<Vec<Request>, QualityError> {
        if let [arch] = self.archs[..] {
            return Err(QualityError::OneArch { arch: arch.to_string() });
        }
        if !self.archs.contains(&Arch::Dense) {
            return Err(QualityError::NoDense);
        }
        let twice = self.archs.iter().enumerate().find(|(i, arch)| self.archs[..*i].contains(arch));
        if let Some((_, arch)) = twice {
            return Err(QualityError::Twice { arch: arch.to_string() });
        }
        let of_factors = [("--guided", self.guided), ("--init spectral", self.init == Init::Spectral)];
        let unused = of_factors.iter().find(|(_, is_asked)| *is_asked && self.archs.iter().all(|a| a.rank().is_none()));
        if let Some((option, _)) = unused {
            return Err(QualityError::NoFactors { option });
        }
        if self.seeds == 0 {
            return Err(QualityError::NoSeeds);
        }
        let of = |seed: u64, arch: Arch| {
            let decay_steps = self.shared.decay_steps.or(Some(self.steps));
            Request {
                from: None,
                output: self.shared.output.join(path_of(arch, seed)),
                arch,
                init: if arch.rank().is_some() { self.init } else { Init::Normal },
                guided: self.guided && arch.rank().is_some(),
                end: pretrain::End { steps: Some(self.steps), ..pretrain::End::default() },
                // Said outright, so that no training goes on by another schedule than the others have.
                decay_steps,
                warmup_steps: Some(self.shared.warmup_steps.unwrap_or_else(|| pretrain::usual_warmup(decay_steps))),
                seed,
                ..self.shared.clone()
            }
        };
        let all: Vec<Request> = (0..self.seeds)
            .flat_map(|seed| self.archs.iter().map(move |arch| (seed, *arch)))
            .map(|(s, a)| of(s, a))
            .collect();
        for request in all.iter().take(self.archs.len()) {
            request.check()?;
        }
        Ok(all)
    }
}

/// Where a training lies below the folder: `runs/lrt-rank-64-0`.
fn path_of(arch: Arch, seed: u64) -> PathBuf {
    let name: String = arch.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Path::new(RUNS).join(format!("{name}-{seed}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Order, Share};

    #[test]
    fn folders_have_names_that_every_file_system_takes() {
        let linformer = Arch::Linformer { k: 8, share: Share::Kv, order: Order::Projected };
        let found = [Arch::Dense, Arch::Lrt { rank: 64 }, linformer].map(|arch| path_of(arch, 2));
        let expected = ["runs/dense-2", "runs/lrt-rank-64-2", "runs/linformer-k-8-share-kv-order-projected-2"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
