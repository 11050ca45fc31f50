//! The GPUs that a command may use, and who else uses them.

use std::collections::BTreeSet;
use std::path::Path;

use super::TrackError;
use crate::machine::{Part, gpu_parts};
use crate::meter::Coverage;
use crate::record::Warning;
use crate::sensor::{Driver, GpuInfo, GpuWatch, Visible, visible_gpus};

/// Adds the GPUs to `parts`: those that `named` names, else those that `CUDA_VISIBLE_DEVICES` leaves visible. A GPU of
/// which only an instance is used is added without its meter.
pub(super) fn add(
    parts: &mut Vec<Part>,
    named: Option<&str>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Watched>, TrackError> {
    // As in CUDA, such a list names no GPU: then it does not matter whether there is a driver.
    if named.is_some_and(names_none) {
        return Ok(Vec::new());
    }
    let found = match gpu_parts() {
        Ok(found) => found,
        // Without a driver there is nothing to account for, unless a GPU was asked for.
        Err(error) if named.is_some() => return Err(error.into()),
        Err(_) => return Ok(Vec::new()),
    };
    let environment = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let order = std::env::var("CUDA_DEVICE_ORDER").ok();
    let infos: Vec<GpuInfo> = found.iter().filter_map(|p| p.gpu.clone()).collect();
    let visible = visible_gpus(named.or(environment.as_deref()), order.as_deref(), &infos);
    match (named, visible.problems.first()) {
        (Some(_), Some(problem)) => return Err(TrackError::Gpus(problem.clone())),
        (None, Some(problem)) => warnings.push(Warning::new(
            format!("`CUDA_VISIBLE_DEVICES`: {problem}"),
            "the GPUs from there on are not accounted for",
            "name the GPUs with `--gpus`",
        )),
        _ => {}
    }
    let used: Vec<Part> = found.into_iter().filter_map(|part| chosen(part, &visible)).collect();
    let driver = Driver::open().ok();
    let watch = |part: &Part| {
        let gpu = part.gpu.as_ref()?;
        let watch = GpuWatch::open(driver.as_ref()?, gpu.index).ok()?;
        Some(Watched { device: part.device.clone(), watch, shared: None })
    };
    let watched = used.iter().filter_map(watch).collect();
    let is_module = |p: &Part| p.meter.as_ref().is_some_and(|m| m.info().coverage == Coverage::Module);
    if used.iter().any(is_module) {
        // The sensor of the module holds its processors and their memory.
        for part in parts.iter_mut() {
            part.meter = None;
            part.covered_by = Some("gpu");
        }
    }
    parts.extend(used);
    Ok(watched)
}

/// Whether a list in the way of `CUDA_VISIBLE_DEVICES` names no GPU at all.
fn names_none(list: &str) -> bool {
    matches!(list.split(',').next().map(str::trim), Some("" | "-1"))
}

/// The part, if it is visible; without its meter, if only an instance of it is.
fn chosen(mut part: Part, visible: &Visible<'_>) -> Option<Part> {
    let index = part.gpu.as_ref()?.index;
    let selected = visible.devices.iter().find(|s| s.gpu.index == index)?;
    if let Some(instance) = selected.instance {
        part.meter = None;
        part.reason = Some(format!(
            "`{}` is an instance of it, and its sensor covers the whole board: its energy is not given to one instance\n\
             hint: `sudo nvidia-smi -i {} -mig 0` makes the card whole",
            instance.uuid,
            selected.gpu.id()
        ));
    }
    Some(part)
}

/// A GPU, and whether processes outside the command use it.
pub(super) struct Watched {
    device: String,
    watch: GpuWatch,
    shared: Option<bool>,
}

impl Watched {
    /// Whoever uses it before the command has started is not the command.
    pub(super) fn before(&mut self) {
        let processes = self.watch.state().processes;
        self.saw(processes.map(|p| !p.is_empty()));
    }

    /// Whoever uses it now and is not of the command. Numbers of another namespace, which are not processes here, tell
    /// nothing.
    pub(super) fn during(&mut self, members: &BTreeSet<u32>) {
        let here = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
        let processes = self.watch.state().processes;
        self.saw(processes.map(|p| p.iter().any(|pid| !members.contains(pid) && here(pid))));
    }

    fn saw(&mut self, others: Option<bool>) {
        self.shared = match (self.shared, others) {
            (Some(true), _) => Some(true),
            (known, None) => known,
            (_, seen) => seen,
        };
    }

    pub(super) fn verdict(self) -> (String, Option<bool>) {
        (self.device, self.shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::gpus_of;
    use crate::sensor::FakeNvml;

    fn used(library: &FakeNvml, list: &str) -> Vec<Part> {
        let parts = gpus_of(library).expect("listed");
        let infos: Vec<GpuInfo> = parts.iter().filter_map(|p| p.gpu.clone()).collect();
        let visible = visible_gpus(Some(list), None, &infos);
        parts.into_iter().filter_map(|p| chosen(p, &visible)).collect()
    }

    #[test]
    fn only_what_the_command_may_use_is_accounted_for() {
        let parts = used(&FakeNvml::two_cards(), "GPU-bbbb");
        assert_eq!(parts.iter().map(|p| p.device.as_str()).collect::<Vec<_>>(), ["gpu 1"]);
        assert!(parts[0].meter.is_some());
    }

    #[test]
    fn a_list_that_names_no_gpu_needs_no_driver() {
        for (list, none) in
            [("", true), (" ", true), ("-1", true), ("-1,0", true), (",1", true), ("0", false), ("0,", false)]
        {
            assert_eq!(names_none(list), none, "`{list}`");
        }
        let mut parts = Vec::new();
        assert_eq!(add(&mut parts, Some(""), &mut Vec::new()).map(|watched| watched.len()).ok(), Some(0));
    }

    #[test]
    fn the_energy_of_a_board_is_not_given_to_one_of_its_instances() {
        let parts = used(&FakeNvml::cut_card(), "MIG-2222");
        assert!(parts[0].meter.is_none());
        let reason = parts[0].reason.as_deref().expect("a reason");
        assert!(reason.contains("`MIG-2222aaaa-0000-0000-0000-000000000002` is an instance of it"), "{reason}");
        assert!(reason.contains("hint: `sudo nvidia-smi -i GPU-aaaa"), "{reason}");
    }

    #[test]
    fn whoever_uses_a_gpu_before_the_command_starts_or_beside_it_is_another() {
        let watched = |pids: &[u32]| {
            let watch = GpuWatch::open(&FakeNvml::two_cards().used_by(pids), 0).expect("a card");
            Watched { device: "gpu 0".to_owned(), watch, shared: None }
        };
        let mut idle = watched(&[]);
        idle.before();
        assert_eq!(idle.verdict().1, Some(false));
        let mut busy = watched(&[4711]);
        busy.before();
        busy.during(&BTreeSet::from([4711]));
        assert_eq!(busy.verdict().1, Some(true), "it was there before");
        let own = std::process::id();
        let mut ours = watched(&[own]);
        ours.during(&BTreeSet::from([own]));
        assert_eq!(ours.verdict().1, Some(false));
        let mut theirs = watched(&[own]);
        theirs.during(&BTreeSet::from([1]));
        assert_eq!(theirs.verdict().1, Some(true));
    }
}
