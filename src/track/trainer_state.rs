//! How far a Trainer of transformers is, from the state that it leaves beside each checkpoint, where it prints nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::read_text;

/// The name that transformers gives the file.
const NAME: &str = "trainer_state.json";
/// What the folders of checkpoints begin with.
const CHECKPOINT: &str = "checkpoint-";
/// The option of scripts that are built on `TrainingArguments` that names the folder.
const OPTION: &str = "--output_dir";
/// A state holds the log of the whole run: larger ones are passed over.
const MOST_BYTES: u64 = 256 << 20;

/// The states in the output folder of a Trainer.
#[derive(Debug, Clone)]
pub struct TrainerStates {
    folder: PathBuf,
    /// The last one that was read.
    newest: Option<SystemTime>,
}

/// What one state says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainerState {
    /// Steps that are done.
    pub step: u64,
    /// Steps of the whole run, where it is known.
    pub total: Option<u64>,
    /// Seconds since the command began at which it was written.
    pub at_s: f64,
}

impl TrainerStates {
    /// Those of `folder`.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), newest: None }
    }

    /// Those of the folder that a command names by `--output_dir`.
    #[must_use]
    pub fn of_command<S: AsRef<std::ffi::OsStr>>(command: &[S]) -> Option<Self> {
        let mut words = command.iter().map(|word| word.as_ref().to_string_lossy());
        while let Some(word) = words.next() {
            if word == OPTION || word == "--output-dir" {
                return words.next().map(|folder| Self::below(Path::new(&*folder)));
            }
            let given = word.strip_prefix(OPTION).or_else(|| word.strip_prefix("--output-dir"));
            if let Some(folder) = given.and_then(|rest| rest.strip_prefix('=')) {
                return Some(Self::below(Path::new(folder)));
            }
        }
        None
    }

    /// What has been written since the last look, the oldest first; what is older than the start of the command is of another run. A
    /// file that is half written is read at the next look.
    pub fn new_ones(&mut self, start: SystemTime) -> Vec<TrainerState> {
        let mut found: Vec<(SystemTime, TrainerState)> =
            self.files().into_iter().filter_map(|file| self.read(&file, start)).collect();
        found.sort_by_key(|(written, _)| *written);
        self.newest = found.last().map(|(written, _)| *written).or(self.newest);
        found.into_iter().map(|(_, state)| state).collect()
    }

    /// That of the folder itself, which is written at the end, and those of its checkpoints.
    fn files(&self) -> Vec<PathBuf> {
        let is_checkpoint =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT));
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        let checkpoints = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_checkpoint);
        checkpoints.chain([self.folder.clone()]).map(|folder| folder.join(NAME)).collect()
    }

    fn read(&self, file: &Path, start: SystemTime) -> Option<(SystemTime, TrainerState)> {
        let written = fs::metadata(file).and_then(|facts| facts.modified()).ok()?;
        let at_s = written.duration_since(start).ok()?.as_secs_f64();
        if self.newest.is_some_and(|newest| written <= newest) {
            return None;
        }
        let text = read_text(file, MOST_BYTES).ok()?;
        if !text.trim_end().ends_with('}') {
            return None;
        }
        let total = number(&text, "max_steps").filter(|total| *total > 0);
        Some((written, TrainerState { step: number(&text, "global_step")?, total, at_s }))
    }
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
    fn each_state_is_read_once_with_the_time_at_which_it_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut states = TrainerStates::below(folder.path());
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (before, [ten, twenty, thirty]) =
            (start - Duration::from_secs(9), [10, 20, 30].map(|seconds| start + Duration::from_secs(seconds)));
        write(folder.path(), "checkpoint-900", r#"{"global_step": 900, "max_steps": 1000}"#, before);
        assert_eq!(states.new_ones(start), [], "of an earlier run");
        write(folder.path(), "checkpoint-200", r#"{"global_step": 200, "log_history": [{"step": 10}, "#, twenty);
        assert_eq!(states.new_ones(start), [], "half written");
        let whole = "{\n  \"global_step\": 200,\n  \"log_history\": [{\"loss\": NaN, \"step\": 200}],\n  \"max_steps\": 1000\n}\n";
        write(folder.path(), "checkpoint-200", whole, twenty);
        write(folder.path(), "checkpoint-100", r#"{"global_step": 100, "max_steps": -1}"#, ten);
        write(folder.path(), "other", r#"{"global_step": 7}"#, ten);
        let state = |step, total, at_s| TrainerState { step, total, at_s };
        assert_eq!(states.new_ones(start), [state(100, None, 10.0), state(200, Some(1000), 20.0)]);
        assert_eq!(states.new_ones(start), []);
        write(folder.path(), "", r#"{"global_step": 1000, "max_steps": 1000}"#, thirty);
        assert_eq!(states.new_ones(start), [state(1000, Some(1000), 30.0)]);
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
