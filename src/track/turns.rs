//! One meter a node: the ranks of a job agree, part by part, on who reads it. The processors and the memory are one part;
//! each GPU is another, as a rank may see its own alone.

use std::path::PathBuf;

use super::part::{Measurer, TrackedPart};
use crate::files::{Claim, Claimed};
use crate::machine::{Part, PartKind};
use crate::record::Warning;

/// How the ranks of a job on one node find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMeter {
    /// The node's own folder for temporary files.
    pub folder: PathBuf,
    /// What the ranks of the step on this node have in common, and no other process has.
    pub key: String,
    /// The rank of this process.
    pub rank: Option<u64>,
}

/// What this process reads, and who reads the rest.
#[derive(Default)]
pub(super) struct Turns {
    /// Held until the command has ended.
    _claims: Vec<Claim>,
    /// Parts, by their device, that another process reads.
    elsewhere: Vec<(String, Measurer)>,
}

/// Takes the meter from each part that another rank of the node reads already.
pub(super) fn agree(parts: &mut [Part], node: &NodeMeter, warnings: &mut Vec<Warning>) -> Turns {
    let (mut claims, mut elsewhere) = (Vec::new(), Vec::new());
    // What the processors' part came to, which is the memory's too.
    let mut of_host: Option<Option<Measurer>> = None;
    for part in parts.iter_mut().filter(|part| part.meter.is_some()) {
        let host = part.kind != PartKind::Gpu;
        let known = of_host.filter(|_| host);
        let measurer = known.unwrap_or_else(|| {
            let name = if host { "host" } else { part.id.as_deref().unwrap_or(&part.device) };
            match Claim::ask(&node.lock(name), &node.note()) {
                Ok(Claimed::Here(claim)) => {
                    claims.push(claim);
                    None
                }
                Ok(Claimed::Elsewhere(left)) => Some(measurer(&left)),
                Err(error) => {
                    let path = node.lock(name);
                    warnings.push(Warning::new(
                        format!("the ranks of this node cannot agree on one meter by `{}`: {error}", path.display()),
                        "each of them may have the node's joules in its record",
                        "`greenformers sum` counts what overlaps once; `TMPDIR` names another folder",
                    ));
                    None
                }
            }
        });
        if host {
            of_host = Some(measurer);
        }
        if let Some(measurer) = measurer {
            part.meter = None;
            elsewhere.push((part.device.clone(), measurer));
        }
    }
    Turns { _claims: claims, elsewhere }
}

impl NodeMeter {
    fn lock(&self, part: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = format!("greenformers-{}-{part}.lock", self.key).chars().map(plain).collect();
        self.folder.join(name)
    }

    fn note(&self) -> String {
        let rank = self.rank.map_or_else(String::new, |rank| rank.to_string());
        format!("{} {rank}\n", std::process::id())
    }
}

/// The process that left this note.
fn measurer(note: &str) -> Measurer {
    let mut words = note.split_whitespace();
    Measurer {
        process: words.next().and_then(|word| word.parse().ok()),
        rank: words.next().and_then(|word| word.parse().ok()),
    }
}

impl Turns {
    /// Says on each line that another process reads who that is.
    pub(super) fn say(&self, lines: &mut [TrackedPart]) {
        for line in lines {
            let Some((_, by)) = self.elsewhere.iter().find(|(device, _)| *device == line.device) else { continue };
            let process = by.process.map_or_else(|| "another process".to_owned(), |number| format!("process {number}"));
            let rank = by.rank.map_or_else(String::new, |rank| format!(" (rank {rank})"));
            line.measured_by = Some(*by);
            line.reason = Some(format!(
                "{process}{rank} of this job meters it for all on this node: its energy is in that one's record"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::FakeMeter;
    use crate::units::Watts;

    fn parts() -> Vec<Part> {
        let part = |kind, device: &str| Part {
            meter: Some(Box::new(FakeMeter::new(|_| Watts(5.0)).counting())),
            ..Part::new(kind, device, String::new())
        };
        vec![part(PartKind::Cpu, "cpu"), part(PartKind::Memory, "memory"), part(PartKind::Gpu, "gpu 0")]
    }

    #[test]
    fn a_second_rank_reads_what_the_first_cannot_see_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let node = |rank| NodeMeter { folder: folder.path().to_owned(), key: "a/b".to_owned(), rank: Some(rank) };
        let (mut first, mut second) = (parts(), parts());
        second[2].id = Some("GPU-of-its-own".to_owned());
        let mut warnings = Vec::new();
        let turns = agree(&mut first, &node(0), &mut warnings);
        let others = agree(&mut second, &node(1), &mut warnings);
        assert_eq!(warnings, []);
        assert!(first.iter().all(|part| part.meter.is_some()));
        let metered: Vec<bool> = second.iter().map(|part| part.meter.is_some()).collect();
        assert_eq!(metered, [false, false, true]);
        let by = Measurer { process: Some(std::process::id()), rank: Some(0) };
        assert_eq!(others.elsewhere, [("cpu".to_owned(), by), ("memory".to_owned(), by)]);
        drop(turns);
        let mut third = parts();
        agree(&mut third, &node(2), &mut warnings);
        assert!(third.iter().all(|part| part.meter.is_some()), "the first has gone");
    }

    #[test]
    fn a_folder_that_cannot_be_written_leaves_every_meter_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let node = NodeMeter { folder: folder.path().join("none"), key: "a".to_owned(), rank: None };
        let (mut all, mut warnings) = (parts(), Vec::new());
        agree(&mut all, &node, &mut warnings);
        assert!(all.iter().all(|part| part.meter.is_some()));
        assert!(warnings[0].fact.contains("cannot agree on one meter"), "{warnings:?}");
    }
}
