//! How far a Trainer of transformers is, from the state that it leaves beside each checkpoint, where it prints nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::read_text;

/// The name that transformers gives the file.
const NAME: &str = "trainer_state.json";
/// What the folders of checkpoints begin with.
const CHECKPOINT: &str = "checkpoint-";
/// The option of scripts that are built on `TrainingArguments` that names the folder, in both spellings that it takes.
const OPTIONS: [&str; 2] = ["--output_dir", "--output-dir"];
/// A state holds the log of the whole run: larger ones are passed over.
const MOST_BYTES: u64 = 256 << 20;

/// The states in the output folder of a Trainer.
#[derive(Debug, Clone)]
pub struct TrainerStates {
    folder: PathBuf,
    /// When those that are known were written.
    known: BTreeMap<PathBuf, SystemTime>,
    /// The last look, in seconds since the command began.
    looked_s: f64,
    first: Option<FirstState>,
}

/// What the times of the others are counted from: how long after it they were written is what the dates of their files say.
#[derive(Debug, Clone, Copy)]
struct FirstState {
    written: SystemTime,
    /// Seconds since the command began at which it was found.
    at_s: f64,
    /// It was written so many seconds before that at most: there was a look then, and it was not there.
    late_s: f64,
}

/// What one state says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainerState {
    /// Steps that are done.
    pub step: u64,
    /// Steps of the whole run, where it is known.
    pub total: Option<u64>,
    /// Seconds since the command began at which it was written: right between states, and all of them late by as much as the first was
    /// found late.
    pub at_s: f64,
}

impl FirstState {
    /// When a state was written that is found now and was not there at the look before. A wall clock that was set in between
    /// moves it no further than that leaves open.
    fn time_of(&self, written: SystemTime, looked_s: f64, now_s: f64) -> f64 {
        let after_s = match written.duration_since(self.written) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        (self.at_s + after_s).clamp(looked_s, now_s + self.late_s)
    }
}

impl TrainerStates {
    /// Those that will be written into `folder`: what is there now is of another run.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        let mut states = Self { folder: folder.to_owned(), known: BTreeMap::new(), looked_s: 0.0, first: None };
        let now = states.files().into_iter().filter_map(|file| written(&file).map(|time| (file, time)));
        states.known = now.collect();
        states
    }

    /// Where they are looked for.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Those of the folder that a command names by `--output_dir`.
    #[must_use]
    pub fn of_command<S: AsRef<OsStr>>(command: &[S]) -> Option<Self> {
        let mut words = command.iter().map(|word| word.as_ref().to_string_lossy());
        while let Some(word) = words.next() {
            if OPTIONS.contains(&&*word) {
                return words.next().map(|folder| Self::below(Path::new(&*folder)));
            }
            let given = OPTIONS.iter().find_map(|option| word.strip_prefix(option)?.strip_prefix('='));
            if let Some(folder) = given {
                return Some(Self::below(Path::new(folder)));
            }
        }
        None
    }

    /// What has been written since the last look, the oldest first, where this look is so many seconds after the command began. A file
    /// that is half written is read at the next look.
    pub fn new_ones(&mut self, now_s: f64) -> Vec<TrainerState> {
        let mut found: Vec<(SystemTime, u64, Option<u64>)> = Vec::new();
        for file in self.files() {
            let Some(written) = written(&file).filter(|time| self.known.get(&file) != Some(time)) else { continue };
            if let Some((step, total)) = read(&file) {
                found.push((written, step, total));
                self.known.insert(file, written);
            }
        }
        found.sort_by_key(|(written, ..)| *written);
        // The end of a command, which is the last look, may be before one that was under way.
        let now_s = now_s.max(self.looked_s);
        let looked_s = std::mem::replace(&mut self.looked_s, now_s);
        let Some((newest, ..)) = found.last() else { return Vec::new() };
        let first = *self.first.get_or_insert(FirstState { written: *newest, at_s: now_s, late_s: now_s - looked_s });
        let state =
            |(written, step, total)| TrainerState { step, total, at_s: first.time_of(written, looked_s, now_s) };
        found.into_iter().map(state).collect()
    }

    /// That of the folder itself, which is written at the end, and those of its checkpoints.
    fn files(&self) -> Vec<PathBuf> {
        let is_checkpoint =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT));
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        let checkpoints = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_checkpoint);
        checkpoints.chain([self.folder.clone()]).map(|folder| folder.join(NAME)).collect()
    }
}

fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|facts| facts.modified()).ok()
}

/// The steps that are done and those of the whole run, where they are known.
fn read(file: &Path) -> Option<(u64, Option<u64>)> {
    let text = read_text(file, MOST_BYTES).ok()?;
    if !text.trim_end().ends_with('}') {
        return None;
    }
    let total = number(&text, "max_steps").filter(|total| *total > 0);
    Some((number(&text, "global_step")?, total))
}

/// A whole number of the object itself. A loss that is none is written as `NaN`, which JSON does not know, so that this is not read as JSON;
/// the names are those of no other number in the file.
fn number(text: &str, name: &str) -> Option<u64> {
    let quoted = format!("\"{name}\"");
    let after = text.split_once(&quoted)?.1.trim_start().strip_prefix(':')?.trim_start();
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str, written: SystemTime) {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("writable");
        let file = fs::File::create(folder.join(NAME)).expect("writable");
        fs::write(folder.join(NAME), text).expect("writable");
        file.set_modified(written).expect("its own file");
    }

    #[test]
    fn each_state_is_read_once_and_those_of_an_earlier_run_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        write(folder.path(), "checkpoint-900", r#"{"global_step": 900, "max_steps": 1000}"#, at(0));
        let mut states = TrainerStates::below(folder.path());
        assert_eq!(states.new_ones(5.0), [], "of an earlier run");
        write(folder.path(), "checkpoint-200", r#"{"global_step": 200, "log_history": [{"step": 10}, "#, at(20));
        assert_eq!(states.new_ones(15.0), [], "half written");
        let whole = "{\n  \"global_step\": 200,\n  \"log_history\": [{\"loss\": NaN, \"step\": 200}],\n  \"max_steps\": 1000\n}\n";
        write(folder.path(), "checkpoint-200", whole, at(20));
        write(folder.path(), "checkpoint-100", r#"{"global_step": 100, "max_steps": -1}"#, at(10));
        write(folder.path(), "other", r#"{"global_step": 7}"#, at(10));
        let state = |step, total, at_s| TrainerState { step, total, at_s };
        assert_eq!(states.new_ones(25.0), [state(100, None, 15.0), state(200, Some(1000), 25.0)]);
        assert_eq!(states.new_ones(26.0), []);
        write(folder.path(), "", r#"{"global_step": 1000, "max_steps": 1000}"#, at(30));
        // One of another run is written over.
        write(folder.path(), "checkpoint-900", r#"{"global_step": 900, "max_steps": 1000}"#, at(29));
        assert_eq!(states.new_ones(31.5), [state(900, Some(1000), 34.0), state(1000, Some(1000), 35.0)]);
    }

    #[test]
    fn looks_that_come_late_do_not_move_what_they_find() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The clock of a file server may be another one.
        let at = |seconds: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(9_000_000.0 + seconds);
        let mut states = TrainerStates::below(folder.path());
        let mut times = Vec::new();
        // A state every 10 s, found between 0.1 and 4 s later.
        for (step, look_s) in [(1, 11.0), (2, 24.0), (3, 30.1), (4, 43.0)] {
            write(
                folder.path(),
                &format!("checkpoint-{step}"),
                &format!(r#"{{"global_step": {step}}}"#),
                at(10.0 * f64::from(step)),
            );
            times.extend(states.new_ones(look_s).into_iter().map(|state| state.at_s));
        }
        let between: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(between.iter().all(|s| (s - 10.0).abs() < 1e-6), "{times:?}");
        // A clock that is set an hour back puts nothing before what was seen before.
        write(folder.path(), "checkpoint-5", r#"{"global_step": 5}"#, at(50.0 - 3600.0));
        assert_eq!(states.new_ones(52.0).first().map(|state| state.at_s), Some(43.0));
        // A look that is given an earlier time than the one before.
        let mut states = TrainerStates::below(folder.path());
        assert_eq!(states.new_ones(9.0), []);
        write(folder.path(), "checkpoint-6", r#"{"global_step": 6}"#, at(60.0));
        assert_eq!(states.new_ones(8.9).first().map(|state| state.at_s), Some(9.0));
    }

    #[test]
    fn the_folder_is_the_one_that_the_command_names() {
        let of = |words: &[&str]| TrainerStates::of_command(words).map(|states| states.folder);
        for words in [
            &["python", "run_clm.py", "--output_dir", "out"][..],
            &["python", "run_clm.py", "--output_dir=out", "--fp16"],
            &["accelerate", "launch", "x.py", "--output-dir", "out"],
        ] {
            assert_eq!(of(words), Some(PathBuf::from("out")), "{words:?}");
        }
        assert_eq!(of(&["python", "train.py", "--output_dirs", "x"]), None);
        assert_eq!(of(&["python", "train.py", "--output_dir"]), None);
    }
}
