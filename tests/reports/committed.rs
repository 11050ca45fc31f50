//! The campaigns in `reports/`: what stands there is what the program makes of their records.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::ok;

const CAMPAIGNS: [&str; 3] = ["reports/epyc-2vcpu-bert-base", "reports/h200-bert-base", "reports/h100-bert-base"];

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
fn committed_reports_are_made_again_from_their_records_to_the_same_bytes() {
    CAMPAIGNS.into_iter().for_each(is_made_again);
}

fn is_made_again(campaign: &str) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(campaign);
    let folder = tempfile::tempdir().unwrap();
    ok(&["report", committed.to_str().unwrap(), "-o", "again"], folder.path());
    let again = folder.path().join("again");
    let (mut expected, mut made) = (BTreeSet::new(), BTreeSet::new());
    files(&committed, Path::new(""), &mut expected);
    files(&again, Path::new(""), &mut made);
    expected.remove(Path::new("record.json"));
    let mend = format!("mend it with `cargo run -- report {campaign}`");
    assert_eq!(made, expected, "{mend}");
    // Full precision may differ in the last digit where another library works out logarithms.
    let rounded =
        |path: &&PathBuf| ["html", "md", "svg", "txt", "yaml"].iter().any(|e| path.extension().unwrap() == *e);
    for path in made.iter().filter(rounded) {
        let same = fs::read(committed.join(path)).unwrap() == fs::read(again.join(path)).unwrap();
        assert!(same, "{} differs: {mend}", path.display());
    }
}
