//! CPU time and memory of a command and of everything that it started, from the files of Linux.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::ffi::reap;
use crate::sensor::TICKS_PER_SECOND;

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Process {
    parent: u32,
    /// Whether it has ended, and its parent has not taken note.
    ended: bool,
    /// When it began, in ticks: tells it from a later process of the same number.
    began: u64,
    /// Ticks of its own and of the children that it has waited for.
    ticks: u64,
}

/// A command and its descendants.
#[derive(Debug)]
pub(super) struct Tree {
    proc: PathBuf,
    root: u32,
    /// Who becomes the parent of orphans, where it is not the first process of the system: whatever else it is the parent
    /// of, but for the command, is a member.
    adopter: Option<u32>,
    /// Every member that has been seen: a daemon is not given up when its parent ends.
    members: BTreeMap<u32, Process>,
    /// Ticks of members whose parent had gone when they ended, so that nobody has waited for them within the tree.
    orphaned: u64,
    /// Ticks of orphans that the adopter took note of: they are among those of its children as well.
    reaped: u64,
}

/// What the tree has used so far, and uses now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TreeUse {
    pub(super) cpu_s: f64,
    pub(super) resident_bytes: u64,
}

impl Tree {
    /// The tree of the process `root`, whose orphans `adopter` adopts.
    pub(super) fn of(root: u32, adopter: Option<u32>) -> Self {
        Self::below(Path::new("/proc"), root, adopter)
    }

    fn below(proc: &Path, root: u32, adopter: Option<u32>) -> Self {
        Self { proc: proc.to_owned(), root, adopter, members: BTreeMap::new(), orphaned: 0, reaped: 0 }
    }

    /// Looks at all processes. `None` where there is no `/proc`, or once nothing of the tree is left.
    pub(super) fn snapshot(&mut self) -> Option<TreeUse> {
        let all = self.processes()?;
        let alive = |pid: &u32, known: &Process| all.get(pid).is_some_and(|now| now.began == known.began);
        let mut now: BTreeMap<u32, Process> =
            self.members.iter().filter(|(pid, known)| alive(pid, known)).map(|(pid, _)| (*pid, all[pid])).collect();
        if let Some(root) = all.get(&self.root) {
            now.insert(self.root, *root);
        }
        let adopted = |p: &Process| Some(p.parent) == self.adopter;
        now.extend(all.iter().filter(|(pid, p)| **pid != self.root && adopted(p)).map(|(pid, p)| (*pid, *p)));
        // Children have higher numbers than their parents but for where the numbers start anew: until nothing is added.
        loop {
            let children: Vec<_> =
                all.iter().filter(|(pid, p)| !now.contains_key(pid) && now.contains_key(&p.parent)).collect();
            if children.is_empty() {
                break;
            }
            now.extend(children.into_iter().map(|(pid, p)| (*pid, *p)));
        }
        for (pid, known) in &self.members {
            let ended = !now.contains_key(pid) && *pid != self.root;
            let inherited = self.members.contains_key(&known.parent);
            if ended && !inherited {
                self.orphaned += known.ticks;
            }
        }
        self.members = now;
        let ended = self.members.iter().filter(|(pid, p)| **pid != self.root && p.ended && adopted(p));
        let noted: Vec<u64> = ended.filter(|(pid, _)| reap(**pid)).map(|(_, p)| p.ticks).collect();
        self.reaped += noted.iter().sum::<u64>();
        if self.members.is_empty() {
            return None;
        }
        let ticks: u64 = self.members.values().map(|p| p.ticks).sum();
        Some(TreeUse {
            cpu_s: (ticks + self.orphaned) as f64 / TICKS_PER_SECOND,
            resident_bytes: self.members.keys().filter_map(|pid| self.resident(*pid)).sum(),
        })
    }

    /// The numbers of its processes.
    pub(super) fn members(&self) -> BTreeSet<u32> {
        self.members.keys().copied().collect()
    }

    /// All CPU-seconds once the command has ended: `waited` of the children that this process has waited for meanwhile,
    /// and of orphans, those that still run among them.
    pub(super) fn total_s(&mut self, waited: f64) -> f64 {
        // What this look takes note of is not among the children waited for.
        let reaped = self.reaped as f64 / TICKS_PER_SECOND;
        let orphans = self.snapshot().map_or(self.orphaned as f64 / TICKS_PER_SECOND, |used| used.cpu_s);
        (waited - reaped).max(0.0) + orphans
    }

    fn processes(&self) -> Option<BTreeMap<u32, Process>> {
        let entries = fs::read_dir(&self.proc).ok()?;
        let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let read = |pid: u32| {
            let stat = fs::read_to_string(self.proc.join(pid.to_string()).join("stat")).ok()?;
            Some((pid, parse(&stat)?))
        };
        Some(pids.filter_map(read).collect())
    }

    fn resident(&self, pid: u32) -> Option<u64> {
        let status = fs::read_to_string(self.proc.join(pid.to_string()).join("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    }
}

/// CPU-seconds of the children that this process has waited for, and of theirs: all of a command that has ended.
pub(super) fn waited_for_cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some((ticks(13)? + ticks(14)?) as f64 / TICKS_PER_SECOND)
}

/// `/proc/PID/stat`: after the name, which may hold anything, come state, parent and so on (proc(5)).
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    let ended = fields.first() == Some(&"Z");
    Some(Process { parent: fields.get(1)?.parse().ok()?, ended, began: number(19)?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary folder"))
        }

        /// A process with a name that has spaces and brackets; `ticks` of its own, `waited` of its children.
        fn put(&self, pid: u32, parent: u32, began: u64, ticks: u64, waited: u64) {
            let folder = self.0.path().join(pid.to_string());
            fs::create_dir_all(&folder).expect("new");
            let rest = format!("S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 {waited} 0 20 0 1 0 {began} 0 0");
            fs::write(folder.join("stat"), format!("{pid} (a (b) c) {rest}")).expect("writable");
            fs::write(folder.join("status"), "Name:\tx\nVmRSS:\t    2048 kB\n").expect("writable");
        }

        fn end(&self, pid: u32) {
            fs::remove_dir_all(self.0.path().join(pid.to_string())).expect("there");
        }
    }

    #[test]
    fn children_and_grandchildren_count_and_nobody_else_does() {
        let proc = Proc::new();
        proc.put(1, 0, 1, 9000, 9000);
        proc.put(50, 1, 7, 100, 0);
        proc.put(51, 50, 8, 30, 20);
        proc.put(49, 51, 9, 50, 0); // its number came around
        proc.put(60, 1, 9, 5000, 0);
        let mut tree = Tree::below(proc.0.path(), 50, None);
        let used = tree.snapshot().expect("alive");
        assert_eq!(used, TreeUse { cpu_s: 2.0, resident_bytes: 3 * 2048 * 1024 });
        assert_eq!(tree.members(), BTreeSet::from([49, 50, 51]));
    }

    #[test]
    fn what_a_child_used_moves_to_its_parent_when_it_ends_and_is_not_lost_or_doubled() {
        let proc = Proc::new();
        proc.put(50, 1, 7, 100, 0);
        proc.put(51, 50, 8, 40, 0);
        let mut tree = Tree::below(proc.0.path(), 50, None);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(1.4));
        proc.end(51);
        proc.put(50, 1, 7, 100, 45);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(1.45));
    }

    #[test]
    fn a_daemon_stays_in_the_tree_and_a_new_process_of_its_number_does_not_join() {
        let proc = Proc::new();
        proc.put(50, 1, 7, 10, 0);
        proc.put(51, 50, 8, 10, 0);
        proc.put(52, 51, 8, 10, 0);
        let mut tree = Tree::below(proc.0.path(), 50, None);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(0.3));
        proc.end(51);
        proc.put(50, 1, 7, 10, 10);
        proc.put(52, 1, 8, 40, 0);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(0.6));
        // Nobody in the tree waits for it: what it had used when last seen is kept.
        proc.end(52);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(0.6));
        proc.put(52, 1, 99, 7777, 0);
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(0.6));
        proc.end(50);
        assert_eq!(tree.snapshot(), None);
        assert_eq!(tree.total_s(0.3), 0.7);
    }

    #[test]
    fn an_orphan_that_was_never_seen_below_the_command_is_found_below_who_adopted_it() {
        let proc = Proc::new();
        proc.put(7, 1, 1, 5000, 0); // this program
        proc.put(50, 7, 7, 10, 0);
        let mut tree = Tree::below(proc.0.path(), 50, Some(7));
        proc.put(60, 7, 9, 100, 0); // its parent ended before the first look
        proc.put(61, 60, 9, 20, 0);
        proc.put(70, 1, 9, 900, 0); // nobody's business
        assert_eq!(tree.snapshot().map(|u| u.cpu_s), Some(1.3));
        proc.end(50);
        proc.put(60, 7, 9, 150, 0);
        // 0.1 s of the command were waited for; the orphans still run.
        assert_eq!(tree.total_s(0.1), 0.1 + 1.7);
    }

    #[test]
    fn without_proc_nothing_is_known() {
        assert_eq!(Tree::below(Path::new("/nowhere"), 1, None).snapshot(), None);
        assert_eq!(parse("no bracket"), None);
    }
}
