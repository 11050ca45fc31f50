//! Tasks as job arrays of Slurm: the text of the script, and what `sbatch` and `squeue` say.

use std::path::Path;
use std::process::Command;

use super::limits::Limit;
use super::plan::SlurmOptions;
use super::{Campaign, CampaignError};
use crate::catalog::Catalog;

/// Seconds before its time is over in which a task is told to end: it needs a second for it, and Slurm counts in minutes.
const WARNING_S: u32 = 60;

/// Tasks that are submitted together: those of one machine and one time limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The machine.
    pub machine: String,
    /// The time limit of each of its tasks; of several with the same, the one whose cells may take longest.
    pub limit: Limit,
    /// Indices of the tasks.
    pub tasks: Vec<usize>,
}

/// Where and by what tasks run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder of the campaign, absolute.
    pub folder: &'a Path,
    /// The program.
    pub program: &'a Path,
    /// The folder laid over the catalog, absolute.
    pub catalog: Option<&'a Path>,
    /// Which submission of the campaign it is, from 0.
    pub round: u32,
}

/// The tasks of these indices as jobs: one for each machine and time limit.
///
/// # Errors
/// If a time limit cannot be worked out.
pub fn jobs(campaign: &Campaign, tasks: &[usize], catalog: &Catalog) -> Result<Vec<Job>, CampaignError> {
    let mut jobs: Vec<Job> = Vec::new();
    for &index in tasks {
        let task = &campaign.tasks[index];
        let limit = Limit::of(campaign, task, catalog)?;
        match jobs.iter_mut().find(|j| j.machine == task.machine && j.limit.seconds == limit.seconds) {
            Some(job) => {
                job.tasks.push(index);
                if limit.longest.total_s() > job.limit.longest.total_s() {
                    job.limit = limit;
                }
            }
            None => jobs.push(Job { machine: task.machine.clone(), limit, tasks: vec![index] }),
        }
    }
    Ok(jobs)
}

impl SlurmOptions {
    /// Whether every value is a word of `sbatch`.
    ///
    /// # Errors
    /// If one is not.
    pub(super) fn check(&self, machine: &str) -> Result<(), CampaignError> {
        let fault = |key: &str, message: String| {
            Err(CampaignError::Value { key: format!("slurm.{key}` of machine `{machine}"), message })
        };
        for (key, value) in self.words() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,=&|*[]()!/@+".contains(c);
            if value.is_empty() || !value.chars().all(plain) {
                return fault(key, format!("`{value}`: expected one word as `sbatch --{key}` takes it"));
            }
        }
        for (key, number) in [("cpus_per_task", self.cpus_per_task), ("at_once", self.at_once)] {
            if number == Some(0) {
                return fault(key, "0: expected at least 1".to_owned());
            }
        }
        let lines = self.setup.iter().map(|l| ("setup", l)).chain(self.program.iter().map(|p| ("program", p)));
        for (key, line) in lines {
            if line.contains(char::is_control) || line.is_empty() {
                return fault(key, format!("{line:?}: expected one line of text"));
            }
        }
        Ok(())
    }

    /// Options that are words, by the names of `sbatch`.
    fn words(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("partition", &self.partition),
            ("constraint", &self.constraint),
            ("gres", &self.gres),
            ("mem", &self.mem),
            ("account", &self.account),
            ("qos", &self.qos),
            ("nodelist", &self.nodelist),
            ("exclude", &self.exclude),
            ("reservation", &self.reservation),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }
}

/// The script of a job: an array whose indices are those of its tasks.
///
/// # Errors
/// If the machine is not the campaign's.
pub fn script(campaign: &Campaign, job: &Job, place: Place<'_>) -> Result<String, CampaignError> {
    let options = &campaign.machine(&job.machine)?.slurm;
    let throttle = options.at_once.map(|n| format!("%{n}")).unwrap_or_default();
    let folder = place.folder.display().to_string();
    // What is between quotes is taken as it is; a percent sign means something to Slurm, and is doubled.
    let log = format!("{}/logs/{}-%A-%a.txt", folder.replace('%', "%%"), job.machine);
    let mut asked = vec![
        ("job-name", format!("{}-{}", campaign.name, job.machine)),
        ("array", indices(&job.tasks) + &throttle),
        ("time", job.limit.slurm()),
        ("nodes", "1".to_owned()),
        ("ntasks", "1".to_owned()),
    ];
    asked.extend(options.words().into_iter().map(|(key, value)| (key, value.to_owned())));
    asked.extend(options.cpus_per_task.map(|n| ("cpus-per-task", n.to_string())));
    asked.extend([
        ("output", if log.contains(' ') { format!("\"{log}\"") } else { log }),
        ("open-mode", "append".to_owned()),
        ("signal", format!("B:TERM@{WARNING_S}")),
    ]);
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        format!(
            "# Campaign `{}`, machine `{}`, submission {}. An index is that of a task in",
            campaign.name, job.machine, place.round
        ),
        format!("# {folder}/{}. What a task has measured stays when its job ends early.", super::CAMPAIGN_FILE),
        format!("# Time limit: {}.", job.limit.explained()),
    ];
    lines.extend(asked.into_iter().map(|(key, value)| format!("#SBATCH --{key}={value}")));
    if options.exclusive {
        lines.push("#SBATCH --exclusive".to_owned());
    }
    lines.extend(options.setup.iter().cloned());
    let program = options.program.as_deref().map_or_else(|| quoted(&place.program.display().to_string()), quoted);
    let catalog = place.catalog.map(|c| format!(" --catalog {}", quoted(&c.display().to_string()))).unwrap_or_default();
    lines.push(format!(
        "exec {program}{catalog} campaign task {} --index \"$SLURM_ARRAY_TASK_ID\" --round {}",
        quoted(&folder),
        place.round
    ));
    Ok(lines.join("\n") + "\n")
}

/// Indices in rising order as Slurm has them: `0-2,5`.
fn indices(tasks: &[usize]) -> String {
    let runs = tasks.chunk_by(|a, b| *b == a + 1);
    let run = |run: &[usize]| match *run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(",")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Submits a script. Gives the number of the job.
///
/// # Errors
/// If `sbatch` cannot be run, or does not take the script.
pub fn submit(script: &Path, machine: &str) -> Result<u64, CampaignError> {
    let output = Command::new("sbatch").arg("--parsable").arg(script).output();
    let output = output.map_err(|source| CampaignError::NoSlurm { program: "sbatch".to_owned(), source })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = |message: String| CampaignError::Refused { machine: machine.to_owned(), message };
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(refused(if why.is_empty() { format!("sbatch ended with {}", output.status) } else { why }));
    }
    job_number(&said).ok_or_else(|| refused(format!("sbatch printed {said:?}, and no number of a job")))
}

/// The number of a job from what `sbatch --parsable` prints: `17`, or `17;cluster`. A site may print lines of its own before it.
fn job_number(said: &str) -> Option<u64> {
    said.trim().lines().last()?.split(';').next()?.trim().parse().ok()
}

/// Tasks of these jobs that Slurm still has, waiting or running: numbers of jobs and indices. `None` if Slurm does not say.
#[must_use]
pub fn still_there(jobs: &[u64]) -> Option<Vec<(u64, usize)>> {
    if jobs.is_empty() {
        return Some(Vec::new());
    }
    // One that Slurm has forgotten would make it fail for all of them.
    let output = Command::new("squeue").args(["--noheader", "--array", "--me", "--format=%F %K"]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let all = queued(&String::from_utf8_lossy(&output.stdout));
    Some(all.into_iter().filter(|(job, _)| jobs.contains(job)).collect())
}

/// Lines of a job's number and an index; those of jobs without indices say `N/A`.
fn queued(said: &str) -> Vec<(u64, usize)> {
    let pair = |line: &str| {
        let (job, index) = line.trim().split_once(' ')?;
        Some((job.parse().ok()?, index.trim().parse().ok()?))
    };
    said.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::resolved::tests::{PLAN, resolved};
    use super::*;

    fn place() -> Place<'static> {
        Place { folder: Path::new("/shared/l"), program: Path::new("/bin/gf"), catalog: None, round: 0 }
    }

    #[test]
    fn indices_are_written_as_ranges() {
        assert_eq!(indices(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(indices(&[3]), "3");
    }

    #[test]
    fn a_number_of_a_job_is_read_whatever_stands_around_it() {
        for (said, number) in [("17\n", 17), ("17;cluster\n", 17), ("sbatch: hello\n18\n", 18)] {
            assert_eq!(job_number(said), Some(number), "{said}");
        }
        assert_eq!(job_number(""), None);
        assert_eq!(job_number("Submitted batch job 17"), None);
    }

    #[test]
    fn a_queue_is_read_line_by_line() {
        assert_eq!(queued("17 0\n17 12\n18 N/A\nslurm_load_jobs error\n"), [(17, 0), (17, 12)]);
    }

    #[test]
    fn tasks_of_one_machine_and_one_limit_are_one_job() {
        let campaign = resolved(PLAN).expect("valid");
        let jobs = jobs(&campaign, &[0, 1, 2, 3, 4], &Catalog::default()).expect("known");
        let tasks: Vec<usize> = jobs.iter().flat_map(|j| j.tasks.clone()).collect();
        assert_eq!(tasks, [0, 1, 2, 3, 4]);
        let kinds: std::collections::BTreeSet<_> = jobs.iter().map(|j| (&j.machine, j.limit.seconds)).collect();
        assert_eq!(kinds.len(), jobs.len(), "each machine and limit is one job");
        assert!(jobs.iter().any(|j| j.tasks == [3, 4]), "both of the CPU have the shortest limit");
        for job in &jobs {
            let text = script(&campaign, job, place()).expect("valid");
            assert!(text.contains(&format!("#SBATCH --array={}\n", indices(&job.tasks))), "{text}");
            assert_eq!(text.contains("#SBATCH --gres=gpu:1\n"), job.machine == "a100");
        }
    }

    #[test]
    fn names_with_spaces_and_quotes_are_read_back_as_they_are() {
        let campaign = resolved(PLAN).expect("valid");
        let jobs = jobs(&campaign, &[4], &Catalog::default()).expect("known");
        let folder = Path::new("/my data/it's 5%");
        let place = Place { folder, catalog: Some(Path::new("/my cat")), round: 3, ..place() };
        let text = script(&campaign, &jobs[0], place).expect("valid");
        assert!(text.contains("#SBATCH --output=\"/my data/it's 5%%/logs/cpu-%A-%a.txt\"\n"), "{text}");
        assert!(text.ends_with(
            "exec /bin/gf --catalog '/my cat' campaign task '/my data/it'\\''s 5%' --index \"$SLURM_ARRAY_TASK_ID\" --round 3\n"
        ), "{text}");
    }
}
