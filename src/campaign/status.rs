//! How far each task is, from files alone.

use std::path::PathBuf;

use serde::Serialize;

use super::collect::{is_cpu, is_done, missing, of_task};
use super::store::{Store, Submission, failure};
use super::{CampaignError, Task};
use crate::files::FolderLock;

/// What a task is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has been done.
    NotBegun,
    /// Slurm was given it, and nothing has been measured since.
    Submitted,
    /// A process holds its folder.
    Running,
    /// It has begun, and the file system does not say whether a process still writes.
    Begun,
    /// It has begun, no process holds its folder, and cells are missing: it was killed, or its time was over.
    Stopped,
    /// It could not go on, or cells failed.
    Failed,
    /// Every cell is measured, or does not fit.
    Finished,
}

impl State {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotBegun => "not begun",
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Begun => "begun",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Its index.
    pub index: usize,
    /// Its name.
    pub task: String,
    /// Its machine.
    pub machine: String,
    /// Cells that are measured, or do not fit.
    pub done: usize,
    /// All of its cells.
    pub cells: usize,
    /// What it is at.
    pub state: State,
    /// The number of the job that was given it last.
    pub job: Option<u64>,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// The folder of its last attempt.
    pub folder: Option<PathBuf>,
}

/// How far every task is.
///
/// # Errors
/// If a folder cannot be read.
pub fn status(store: &Store) -> Result<Vec<TaskStatus>, CampaignError> {
    let submissions = store.submissions()?;
    store.campaign.tasks.iter().enumerate().map(|(index, task)| of(store, index, task, &submissions)).collect()
}

fn of(store: &Store, index: usize, task: &Task, submissions: &[Submission]) -> Result<TaskStatus, CampaignError> {
    let attempts = store.attempts(task)?;
    let merged = of_task(store, task)?;
    let points = store.campaign.plan_of_task(task, is_cpu(&store.campaign, task)?)?.points;
    let done = points.len() - missing(&points, merged.record.as_ref()).len();
    let submission = submissions.iter().rev().find(|s| s.tasks.contains(&index));
    let last = attempts.last();
    let held: Vec<Option<bool>> = attempts.iter().map(|(_, folder)| FolderLock::is_held(folder)).collect();
    let left = last.and_then(|(_, folder)| failure(folder)).map(|f| format!("{} (on {}, {})", f.error, f.host, f.at));
    let failed_cell = merged.record.as_ref().and_then(|r| {
        let cell = r.cells.iter().find(|c| !is_done(c))?;
        Some(format!("{}: {}", cell.label(), cell.error.as_deref().unwrap_or("it failed")))
    });
    let unread = merged.refused.first().map(|r| format!("`{}` is not added: {}", r.path.display(), r.reason));
    // What was submitted after the last attempt has not begun.
    let waits = submission.is_some_and(|s| last.is_none_or(|(attempt, _)| attempt.round < s.round));
    let tried = merged.record.as_ref().map_or(0, |r| r.cells.len());
    let state = if done == points.len() {
        State::Finished
    } else if held.contains(&Some(true)) {
        State::Running
    } else if waits {
        State::Submitted
    } else if last.is_none() {
        State::NotBegun
    } else if left.is_some() || unread.is_some() || tried == points.len() {
        State::Failed
    } else if held.contains(&None) {
        State::Begun
    } else {
        State::Stopped
    };
    let error = left.or(unread).or(failed_cell).filter(|_| state != State::Finished);
    Ok(TaskStatus {
        index,
        task: task.name.clone(),
        machine: task.machine.clone(),
        done,
        cells: points.len(),
        state,
        job: submission.map(|s| s.job),
        error,
        folder: last.map(|(_, folder)| folder.clone()),
    })
}
