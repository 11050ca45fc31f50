//! What the fuzz targets do, with their seeds and the catalog's files, and with changes of them: that they still build, and
//! a first look without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::tried;

#[path = "../../fuzz/bodies.rs"]
mod bodies;

/// Changes of each file; the fuzzer itself tries millions.
const CHANGES: usize = 200;

fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Cuts, repeats, swaps or overwrites a part.
fn changed(bytes: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut new = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if new.is_empty() {
            break;
        }
        let (a, b) = (rng.random_range(0..new.len()), rng.random_range(0..new.len()));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 64));
        match rng.random_range(0..5) {
            0 => drop(new.drain(from..to)),
            1 => {
                let part = new[from..to].to_vec();
                new.splice(to..to, part);
            }
            2 => new[a] = rng.random(),
            3 => new.swap(a, b),
            _ => {
                let odd: &[&[u8]] =
                    &[b"1e308", b"-1", b".nan", b"&a", b"*a", b"[[", b"18446744073709551616", b"\xff", b"null"];
                let odd = odd[rng.random_range(0..odd.len())];
                new.splice(from..to, odd.iter().copied());
            }
        }
    }
    new
}

#[test]
fn seeds_and_changes_of_them_break_nothing() {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut runs = 0;
    let mut each = |folder: &str, changes: usize, body: &dyn Fn(&Path, &[u8])| {
        for (path, bytes) in files(folder) {
            body(&path, &bytes);
            for _ in 0..changes {
                body(&path, &changed(&bytes, &mut rng));
            }
            runs += 1 + changes;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    each("fuzz/seeds/record", CHANGES, &|_, bytes| bodies::record(&text(bytes)));
    each("fuzz/seeds/hourly", 20 * CHANGES, &|_, bytes| bodies::hourly(&text(bytes)));
    each("fuzz/seeds/specs", 20 * CHANGES, &|_, bytes| bodies::specs(&text(bytes)));
    each("fuzz/seeds/safetensors", 20 * CHANGES, &|_, bytes| {
        let (data, head) = bytes.split_at(bytes.len().min(2));
        bodies::safetensors(data.try_into().map_or(0, u16::from_le_bytes), head);
    });
    for (kind, folder) in ["hardware", "profiles/grid", "profiles/site", "profiles/workload"].iter().enumerate() {
        let kind = u8::try_from(kind).unwrap();
        each(folder, 10, &|path, bytes| {
            if path.extension().is_some_and(|e| e == "yaml") {
                bodies::catalog(kind, &text(bytes));
            }
        });
    }
    tried("seeds of the fuzzer, files of the catalog, and random changes of them", runs, "no panic");
}
