//! The campaign in `reports/`: what stands there is what the program makes of its record.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::ok;

const CAMPAIGN: &str = "reports/epyc-2vcpu-bert-base";

/// Every file below `folder`, without the folder.
fn files(folder: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        if folder.join(&path).is_dir() {
            files(folder, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn the_committed_report_is_made_again_from_its_record_to_the_same_bytes() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(CAMPAIGN);
    let folder = tempfile::tempdir().unwrap();
    ok(&["report", committed.to_str().unwrap(), "-o", "again"], folder.path());
    let again = folder.path().join("again");
    let (mut expected, mut made) = (BTreeSet::new(), BTreeSet::new());
    files(&committed, Path::new(""), &mut expected);
    files(&again, Path::new(""), &mut made);
    expected.remove(Path::new("record.json"));
    let mend = format!("mend it with `cargo run -- report {CAMPAIGN}`");
    assert_eq!(made, expected, "{mend}");
    // Full precision may differ in the last digit where another library works out logarithms.
    let rounded =
        |path: &&PathBuf| ["html", "md", "svg", "txt", "yaml"].iter().any(|e| path.extension().unwrap() == *e);
    for path in made.iter().filter(rounded) {
        let same = fs::read(committed.join(path)).unwrap() == fs::read(again.join(path)).unwrap();
        assert!(same, "{} differs: {mend}", path.display());
    }
}
