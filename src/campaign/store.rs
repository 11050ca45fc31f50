//! The folder of a campaign. Each file has one writer, so that nothing is lost where a file system has no locks:
//!
//! | path | what it is | who writes it |
//! |---|---|---|
//! | `campaign.json` | the plan as resolved | who begins the campaign, once |
//! | `submissions/NNN-MACHINE-K.sh`, `.json` | a script, and the number of its job | who submits it |
//! | `tasks/NAME/` | the record of a task's first attempt | that attempt |
//! | `tasks/NAME.rN/` | the same of submission N | that attempt |
//! | `tasks/NAME.rN.M/` | the same when Slurm started it for the Mth time again | that attempt |
//! | `logs/` | what the tasks printed | Slurm |

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CAMPAIGN_FILE, Campaign, CampaignError, SCHEMA, Task};
use crate::files::{read_text, write_whole};
use crate::record::RECORD_FILE;

/// No file of a campaign is larger, records apart.
const MAX_BYTES: u64 = 16 << 20;
/// What a task leaves that could not go on.
const FAILURE_FILE: &str = "failed.json";

/// Which attempt at a task it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// The submission that it belongs to, from 0.
    pub round: u32,
    /// How often Slurm had started it before: after a node died, for example.
    pub restart: u32,
}

/// Why a task could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What was said.
    pub error: String,
    /// Where.
    pub host: String,
    /// When, RFC 3339 with zone.
    pub at: String,
}

/// A job array that was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Which submission of the campaign, from 0.
    pub round: u32,
    /// The machine.
    pub machine: String,
    /// The number that Slurm gave the job.
    pub job: u64,
    /// Its tasks.
    pub tasks: Vec<usize>,
    /// Seconds that each of them is given.
    pub limit_s: u64,
}

/// A campaign and its folder.
#[derive(Debug, Clone)]
pub struct Store {
    /// The folder.
    pub folder: PathBuf,
    /// What is measured.
    pub campaign: Campaign,
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: u64,
}

impl Store {
    /// Whether there is a campaign in `folder`.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CAMPAIGN_FILE).exists()
    }

    /// Begins a campaign in `folder`, or goes on with the same one.
    ///
    /// # Errors
    /// If another campaign is there, or the same one and it may not be gone on with.
    pub fn begin(folder: &Path, campaign: Campaign, resume: bool) -> Result<Self, CampaignError> {
        if !Self::is_in(folder) {
            let path = folder.join(CAMPAIGN_FILE);
            write_json(&path, &campaign)?;
            return Ok(Self { folder: folder.to_owned(), campaign });
        }
        if !resume {
            return Err(CampaignError::Exists(folder.to_owned()));
        }
        let mut store = Self::open(folder)?;
        if let Some(what) = campaign.differs_from(&store.campaign) {
            let what = format!("`{what}`");
            return Err(CampaignError::Changed { folder: folder.to_owned(), what });
        }
        // Where tasks run, and what the whole run costs, may be corrected.
        store.campaign = campaign;
        write_json(&folder.join(CAMPAIGN_FILE), &store.campaign)?;
        Ok(store)
    }

    /// The campaign in `folder`.
    ///
    /// # Errors
    /// If there is none, or it is of another version of this program.
    pub fn open(folder: &Path) -> Result<Self, CampaignError> {
        let path = folder.join(CAMPAIGN_FILE);
        if !path.exists() {
            return Err(CampaignError::None(folder.to_owned()));
        }
        let text = read_text(&path, MAX_BYTES)?;
        let invalid = |message: String, hint| CampaignError::Invalid { path: path.clone(), message, hint };
        let copied = Some("it may be half a copy: copy it again, or begin the campaign again with its plan");
        let SchemaOnly { schema } = serde_json::from_str(&text).map_err(|e| invalid(e.to_string(), copied))?;
        if schema != u64::from(SCHEMA) {
            let message = format!("it has schema {schema}, and this version reads schema {SCHEMA}");
            return Err(invalid(message, Some("use the version that wrote it")));
        }
        let campaign: Campaign = serde_json::from_str(&text).map_err(|e| invalid(e.to_string(), copied))?;
        let known = |task: &Task| campaign.machines.iter().any(|m| m.name == task.machine) && is_a_name(&task.name);
        if let Some(task) = campaign.tasks.iter().find(|task| !known(task)) {
            return Err(invalid(format!("task `{}` is of no machine of the campaign", task.name), None));
        }
        if let Some(machine) = campaign.machines.iter().find(|m| !is_a_name(&m.name)) {
            return Err(invalid(format!("`{}` is no name of a machine", machine.name), None));
        }
        Ok(Self { folder: folder.to_owned(), campaign })
    }

    /// The task of this index.
    ///
    /// # Errors
    /// If there is none.
    pub fn task(&self, index: usize) -> Result<&Task, CampaignError> {
        let all = self.campaign.tasks.len();
        self.campaign.tasks.get(index).ok_or_else(|| CampaignError::NoTask { folder: self.folder.clone(), index, all })
    }

    /// The folder of an attempt at a task.
    #[must_use]
    pub fn attempt_folder(&self, task: &Task, Attempt { round, restart }: Attempt) -> PathBuf {
        let name = match (round, restart) {
            (0, 0) => task.name.clone(),
            (_, 0) => format!("{}.r{round}", task.name),
            _ => format!("{}.r{round}.{restart}", task.name),
        };
        self.folder.join("tasks").join(name)
    }

    /// The attempts at a task that have a folder, the first one first.
    ///
    /// # Errors
    /// If the folder of the tasks cannot be read.
    pub fn attempts(&self, task: &Task) -> Result<Vec<(Attempt, PathBuf)>, CampaignError> {
        let names = entries(&self.folder.join("tasks"))?;
        let mut found: Vec<(Attempt, PathBuf)> =
            names.into_iter().filter_map(|path| Some((attempt_of(path.file_name()?, &task.name)?, path))).collect();
        found.sort();
        Ok(found)
    }

    /// Folders below `tasks/` that belong to no task of this campaign.
    ///
    /// # Errors
    /// If the folder of the tasks cannot be read.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, CampaignError> {
        let mut all = entries(&self.folder.join("tasks"))?;
        all.retain(|path| {
            let name = path.file_name().unwrap_or_default();
            !self.campaign.tasks.iter().any(|task| attempt_of(name, &task.name).is_some())
        });
        all.sort();
        Ok(all)
    }

    /// What was submitted, in order. Files that cannot be read are left out: they only say what Slurm was told.
    ///
    /// # Errors
    /// If the folder of the submissions cannot be read.
    pub fn submissions(&self) -> Result<Vec<Submission>, CampaignError> {
        let mut files = entries(&self.folder.join("submissions"))?;
        files.retain(|path| path.extension() == Some(OsStr::new("json")));
        files.sort();
        let mut all: Vec<Submission> = files.iter().filter_map(|path| read_json(path).ok()).collect();
        all.sort_by_key(|s| s.round);
        Ok(all)
    }

    /// The number of the next submission: no script has it.
    ///
    /// # Errors
    /// If the folder of the submissions cannot be read.
    pub fn next_round(&self) -> Result<u32, CampaignError> {
        let files = entries(&self.folder.join("submissions"))?;
        let round = |path: &PathBuf| path.file_name()?.to_str()?.split('-').next()?.parse::<u32>().ok();
        Ok(files.iter().filter_map(round).max().map_or(0, |last| last.saturating_add(1)))
    }

    /// Writes the script of a submission. Gives its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_script(&self, round: u32, machine: &str, part: usize, text: &str) -> Result<PathBuf, CampaignError> {
        // Slurm opens the files of what tasks print, and makes no folder for them.
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|source| CampaignError::Write { path: logs.clone(), source })?;
        let path = self.folder.join("submissions").join(format!("{round:03}-{machine}-{part}.sh"));
        write_whole(&path, text.as_bytes()).map_err(|source| CampaignError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// Writes down what became of a script, beside it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_submission(&self, script: &Path, submission: &Submission) -> Result<(), CampaignError> {
        write_json(&script.with_extension("json"), submission)
    }
}

/// Leaves in the folder of an attempt why it could not go on, or takes that away.
///
/// # Errors
/// If it cannot be written.
pub fn leave_failure(attempt: &Path, failure: Option<&Failure>) -> Result<(), CampaignError> {
    let path = attempt.join(FAILURE_FILE);
    match failure {
        Some(failure) => write_json(&path, failure),
        None => match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(CampaignError::Write { path, source }),
            _ => Ok(()),
        },
    }
}

/// Why an attempt could not go on, if it left that.
#[must_use]
pub(super) fn failure(attempt: &Path) -> Option<Failure> {
    read_json(&attempt.join(FAILURE_FILE)).ok()
}

/// The record of an attempt.
pub(super) fn record_path(attempt: &Path) -> PathBuf {
    attempt.join(RECORD_FILE)
}

/// A name that leads out of no folder.
fn is_a_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// Which attempt at the task `task` a folder of this name is.
fn attempt_of(name: &OsStr, task: &str) -> Option<Attempt> {
    let rest = name.to_str()?.strip_prefix(task)?;
    if rest.is_empty() {
        return Some(Attempt { round: 0, restart: 0 });
    }
    let numbers = rest.strip_prefix(".r")?;
    let (round, restart) = numbers.split_once('.').unwrap_or((numbers, "0"));
    Some(Attempt { round: round.parse().ok()?, restart: restart.parse().ok()? })
}

/// What is in a folder; nothing if it is not there yet.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CampaignError> {
    let failed = |source| CampaignError::Folder { path: folder.to_owned(), source };
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
        Ok(found) => found.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CampaignError> {
    let text = read_text(path, MAX_BYTES)?;
    serde_json::from_str(&text).map_err(|error| CampaignError::Invalid {
        path: path.to_owned(),
        message: error.to_string(),
        hint: None,
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CampaignError> {
    let failed = |source| CampaignError::Write { path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    write_whole(path, &text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::resolved::tests::{PLAN, resolved};
    use super::*;
    use std::fs;

    fn begun() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::begin(folder.path(), resolved(PLAN).expect("valid"), false).expect("writable");
        (folder, store)
    }

    #[test]
    fn a_campaign_is_read_back_as_it_was_begun() {
        let (folder, store) = begun();
        assert_eq!(Store::open(folder.path()).expect("it is there").campaign, store.campaign);
        let again = Store::begin(folder.path(), resolved(PLAN).expect("valid"), false).expect_err("it is there");
        assert!(matches!(again, CampaignError::Exists(_)));
        let other = resolved(&PLAN.replace("max_time: 20", "max_time: 30")).expect("valid");
        let error = Store::begin(folder.path(), other, true).expect_err("it differs").to_string();
        assert!(error.contains("(`machines`)"), "{error}");
        let moved = resolved(&PLAN.replace("partition: gpu", "partition: new")).expect("valid");
        Store::begin(folder.path(), moved.clone(), true).expect("tasks may run elsewhere");
        assert_eq!(Store::open(folder.path()).expect("it is there").campaign, moved);
    }

    #[test]
    fn half_a_copy_and_another_schema_say_so() {
        let (folder, _) = begun();
        let path = folder.path().join(CAMPAIGN_FILE);
        let text = read_text(&path, 1 << 30).expect("there");
        for (text, said) in [
            (text[..text.len() / 2].to_owned(), "it may be half a copy"),
            (text.replacen("\"schema\": 1", "\"schema\": 9", 1), "it has schema 9, and this version reads schema 1"),
            (text.replace("\"a100-000\"", "\"../../x\""), "is of no machine of the campaign"),
        ] {
            fs::write(&path, text).expect("writable");
            let error = Store::open(folder.path()).expect_err("it is not valid").to_string();
            assert!(error.contains(said), "{error}");
        }
        fs::remove_file(&path).expect("there");
        assert!(matches!(Store::open(folder.path()), Err(CampaignError::None(_))));
    }

    #[test]
    fn every_attempt_has_a_folder_of_its_own() {
        let (folder, store) = begun();
        let task = &store.campaign.tasks[0];
        let attempts = [(0, 0), (0, 2), (1, 0), (10, 1)].map(|(round, restart)| Attempt { round, restart });
        for attempt in attempts.iter().rev() {
            fs::create_dir_all(store.attempt_folder(task, *attempt)).expect("writable");
        }
        let found: Vec<Attempt> = store.attempts(task).expect("readable").into_iter().map(|(a, _)| a).collect();
        assert_eq!(found, attempts);
        assert!(store.attempts(&store.campaign.tasks[1]).expect("readable").is_empty());
        fs::create_dir(folder.path().join("tasks/a100-000 (copy)")).expect("writable");
        let strangers = store.strangers().expect("readable");
        assert_eq!(strangers, [folder.path().join("tasks/a100-000 (copy)")]);
    }

    #[test]
    fn a_round_that_has_a_script_is_not_given_again() {
        let (_folder, store) = begun();
        assert_eq!(store.next_round().expect("readable"), 0);
        let script = store.write_script(0, "a100", 0, "#!/bin/sh\n").expect("writable");
        assert_eq!(store.next_round().expect("readable"), 1, "even if it was never submitted");
        let submission = Submission { round: 0, machine: "a100".to_owned(), job: 17, tasks: vec![0, 1], limit_s: 300 };
        store.write_submission(&script, &submission).expect("writable");
        fs::write(script.with_file_name("000-cpu-0.json"), "{").expect("writable");
        assert_eq!(store.submissions().expect("readable"), [submission]);
    }
}
