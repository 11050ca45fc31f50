//! The job of a cluster that this process belongs to, as its environment says: Slurm's, and torchrun's.

use serde::Serialize;

/// The place of a process in a job. What the environment does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Job {
    /// Who started it: `slurm` or `torchrun`.
    pub scheduler: &'static str,
    /// Name of the cluster.
    pub cluster: Option<String>,
    /// Number of the job; of torchrun, the name of the run, or where its ranks meet.
    pub id: Option<String>,
    /// Number of the step in the job.
    pub step: Option<String>,
    /// What its user called it.
    pub name: Option<String>,
    /// Number of the array that the job is an element of.
    pub array_job: Option<String>,
    /// Index of the element.
    pub array_task: Option<String>,
    /// Name of the node, as the scheduler knows it.
    pub node: Option<String>,
    /// Number of the process among all of the step.
    pub rank: Option<u64>,
    /// Its number among those of the node.
    pub local_rank: Option<u64>,
    /// How many processes there are.
    pub ranks: Option<u64>,
    /// GPUs of the node that were allocated to the step or the job, as the scheduler writes them.
    pub gpus: Option<String>,
    /// GPUs that the process may see.
    pub visible_gpus: Option<String>,
}

/// The job that the variables of an environment tell of; `None` if they tell of none. Where torchrun runs in a job of Slurm,
/// the job is Slurm's, and the ranks are torchrun's.
#[must_use]
pub fn job_of(variable: impl Fn(&str) -> Option<String>) -> Option<Job> {
    let text = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()));
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok();
    let slurm = text(&["SLURM_JOB_ID", "SLURM_JOBID"]);
    // `RANK` alone is a word that any program may use.
    let named = text(&["TORCHELASTIC_RUN_ID"]).filter(|id| id != "none");
    let address = || Some(format!("{}:{}", text(&["MASTER_ADDR"])?, text(&["MASTER_PORT"])?));
    let torchrun = text(&["LOCAL_RANK"]).and(named.or_else(address));
    let scheduler = match (&slurm, &torchrun) {
        (Some(_), _) => "slurm",
        (None, Some(_)) => "torchrun",
        (None, None) => return None,
    };
    let rank = |of_torchrun: &str, of_slurm: &str| {
        let inner = torchrun.as_ref().and_then(|_| number(of_torchrun));
        inner.or_else(|| slurm.as_ref().and_then(|_| number(of_slurm)))
    };
    let of_slurm = |names: &[&str]| if slurm.is_some() { text(names) } else { None };
    Some(Job {
        scheduler,
        cluster: of_slurm(&["SLURM_CLUSTER_NAME"]),
        step: of_slurm(&["SLURM_STEP_ID", "SLURM_STEPID"]),
        name: of_slurm(&["SLURM_JOB_NAME"]),
        array_job: of_slurm(&["SLURM_ARRAY_JOB_ID"]),
        array_task: of_slurm(&["SLURM_ARRAY_TASK_ID"]),
        node: of_slurm(&["SLURMD_NODENAME"]),
        gpus: of_slurm(&["SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "GPU_DEVICE_ORDINAL"]),
        rank: rank("RANK", "SLURM_PROCID"),
        local_rank: rank("LOCAL_RANK", "SLURM_LOCALID"),
        ranks: rank("WORLD_SIZE", "SLURM_NTASKS"),
        visible_gpus: text(&["CUDA_VISIBLE_DEVICES"]),
        id: slurm.or(torchrun),
    })
}

impl Job {
    /// What the processes of one step on one node have in common, and others have not.
    #[must_use]
    pub fn step_key(&self) -> String {
        let known = |part: &Option<String>| part.clone().unwrap_or_default();
        [self.scheduler.to_owned(), known(&self.cluster), known(&self.id), known(&self.step)].join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<Job> {
        job_of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    const STEP: [(&str, &str); 10] = [
        ("SLURM_JOB_ID", "4712"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_JOB_NAME", "bert"),
        ("SLURM_ARRAY_JOB_ID", "4711"),
        ("SLURM_ARRAY_TASK_ID", "3"),
        ("SLURM_PROCID", "5"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_NTASKS", "8"),
        ("SLURM_JOB_GPUS", "0,2"),
        ("CUDA_VISIBLE_DEVICES", "1"),
    ];

    #[test]
    fn a_rank_of_slurm_knows_its_job_step_element_and_gpus() {
        let job = job(&STEP).expect("a job");
        assert_eq!((job.scheduler, job.id.as_deref(), job.step.as_deref()), ("slurm", Some("4712"), Some("0")));
        assert_eq!((job.array_job.as_deref(), job.array_task.as_deref()), (Some("4711"), Some("3")));
        assert_eq!((job.rank, job.local_rank, job.ranks), (Some(5), Some(1), Some(8)));
        assert_eq!((job.gpus.as_deref(), job.visible_gpus.as_deref()), (Some("0,2"), Some("1")));
        assert_eq!(job.step_key(), "slurm--4712-0");
    }

    #[test]
    fn torchrun_in_a_job_of_slurm_numbers_the_ranks() {
        let torch = [
            ("LOCAL_RANK", "3"),
            ("RANK", "7"),
            ("WORLD_SIZE", "16"),
            ("MASTER_ADDR", "node1"),
            ("MASTER_PORT", "29500"),
            ("TORCHELASTIC_RUN_ID", "none"),
        ];
        let both: Vec<(&str, &str)> = STEP.iter().chain(&torch).copied().collect();
        let inside = job(&both).expect("a job");
        assert_eq!((inside.id.as_deref(), inside.rank, inside.ranks), (Some("4712"), Some(7), Some(16)));
        let alone = job(&torch).expect("a job");
        assert_eq!(
            (alone.scheduler, alone.id.as_deref(), alone.local_rank),
            ("torchrun", Some("node1:29500"), Some(3))
        );
    }

    #[test]
    fn an_environment_without_a_job_has_none() {
        for variables in [&[][..], &[("RANK", "1")], &[("LOCAL_RANK", "1")], &[("SLURM_JOB_ID", " ")]] {
            assert_eq!(job(variables), None, "{variables:?}");
        }
        assert_eq!(job(&[("SLURM_JOB_ID", "1"), ("SLURM_PROCID", "x")]).expect("a job").rank, None);
    }
}
