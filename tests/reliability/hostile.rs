//! Files from anyone: each is refused, or read, within bounded time and memory, and without a panic.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Output;

use super::{TINY, folder, limited, program, text, tried};

/// Bytes of address space, and seconds of a CPU: 1 GiB and 2 s for the program as it is released. A build that is not
/// optimised is given four times as long.
const MEMORY: &str = "--as=1073741824";
const SECONDS: &str = if cfg!(debug_assertions) { "--cpu=8" } else { "--cpu=2" };

/// Runs the program on hostile input. The system kills it if it takes more than it may.
fn bounded(folder: &Path, args: &[&str]) -> Output {
    let mut program = program();
    program.current_dir(folder).args(args).env("RAYON_NUM_THREADS", "1");
    let output = limited(&[MEMORY, SECONDS], &program);
    let said = text(&output.stderr);
    assert!(output.status.code().is_some(), "{args:?} was ended: {:?}: {said:.300}", output.status);
    assert!(!said.contains("panicked") && !said.contains("allocation"), "{args:?}: {said:.300}");
    assert!(said.len() < 20_000, "{args:?}: a message of {} bytes", said.len());
    output
}

fn check(folder: &Path, kind: &str, name: &str, yaml: &[u8]) -> Output {
    fs::write(folder.join(name), yaml).unwrap();
    bounded(folder, &["catalog", "check", kind, name])
}

/// Anchors that double `n` times: a billion at 30.
fn laughs(n: usize) -> String {
    let mut yaml = "a0: &a0 [x, x]\n".to_owned();
    for i in 1..n {
        writeln!(yaml, "a{i}: &a{i} [*a{}, *a{}]", i - 1, i - 1).unwrap();
    }
    yaml + &format!("id: *a{}\n", n - 1)
}

#[test]
fn yaml_that_explodes_nests_or_never_ends_is_refused_in_bounds() {
    let folder = folder();
    let site = "id: s\nname: x\npue: {value: 1.2, unit: \"1\", year: 2024, source: x}\n";
    let mega = 1 << 18;
    let mut hostile: Vec<(&str, Vec<u8>)> = vec![
        ("anchors that double 30 times", laughs(30).into_bytes()),
        ("anchors in a value that is read", format!("{}name: x\n", laughs(30).replace("id:", "notes:")).into_bytes()),
        ("an anchor that holds itself", b"id: &a [*a]\n".to_vec()),
        ("brackets", vec![b'['; mega - 1]),
        ("braces", vec![b'{'; mega - 1]),
        ("braces with keys", "{a: ".repeat((mega - 1) / 4).into_bytes()),
        ("as many brackets as are read", "{a: ".repeat(9_999).into_bytes()),
        ("dashes", "- ".repeat((mega - 1) / 2).into_bytes()),
        ("question marks", "? ".repeat((mega - 1) / 2).into_bytes()),
        ("anchors", "&a ".repeat((mega - 1) / 3).into_bytes()),
        ("tags", "!a ".repeat((mega - 1) / 3).into_bytes()),
        ("quotes", vec![b'"'; mega - 1]),
        ("documents", "---\n".repeat((mega - 1) / 4).into_bytes()),
        ("a long scalar", [b"id: ".to_vec(), vec![b'x'; mega - 5]].concat()),
        ("a long unknown key", [vec![b'x'; mega - 5], b": 1".to_vec()].concat()),
        ("keys", (0..20_000).fold(String::new(), |s, i| s + &format!("k{i}: 1\n")).into_bytes()),
        ("bytes that are no text", vec![0xff; 1000]),
        ("zeros", vec![0; 1000]),
        ("a key that is there twice", format!("{site}id: t\n").into_bytes()),
        ("NaN", site.replace("1.2", ".nan").into_bytes()),
        ("infinity", site.replace("1.2", ".inf").into_bytes()),
        ("1e308", site.replace("1.2", "1e308").into_bytes()),
        ("1e999", site.replace("1.2", "1e999").into_bytes()),
        ("a number of a million digits", site.replace("1.2", &"9".repeat(200_000)).into_bytes()),
        ("no text at all", Vec::new()),
    ];
    hostile.push(("deep blocks", (0..700).fold(String::new(), |s, i| s + &" ".repeat(i) + "a:\n").into_bytes()));
    for (what, yaml) in &hostile {
        let output = check(folder.path(), "site", "hostile.yaml", yaml);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains("hostile.yaml"), "{what}: {}", text(&output.stderr));
    }
    assert!(check(folder.path(), "site", "s.yaml", site.as_bytes()).status.success(), "the file itself is valid");
    tried(
        "YAML that explodes, nests, repeats or never ends",
        hostile.len(),
        "each refused within 2 s of CPU and 1 GiB",
    );
}

#[test]
fn what_is_no_file_or_too_large_is_not_read() {
    let folder = folder();
    // 1 GB that takes no room on the disk.
    let sparse = |name: &str| {
        let path = folder.path().join(name);
        fs::File::create(&path).unwrap().set_len(1_000_000_000).unwrap();
        name.to_owned()
    };
    let (yaml, csv, json) = (sparse("large.yaml"), sparse("large.csv"), sparse("large.json"));
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.yaml")).status().unwrap();
    assert!(made.success());
    let estimate = ["estimate", "--hardware", "t4-16gb", "--grid"];
    for (args, part) in [
        (vec!["catalog", "check", "grid", &yaml], "at most 262144 are read"),
        ([&estimate[..], &[&csv]].concat(), "at most 16777216 are read"),
        (vec!["estimate", &json], "at most 100000000 are read"),
        (vec!["catalog", "check", "grid", "pipe.yaml"], "it is a pipe or a device, expected a file"),
        ([&estimate[..], &["/dev/zero/x.csv"]].concat(), "cannot read"),
        (vec!["estimate", "/dev/zero"], "it is a pipe or a device, expected a file"),
    ] {
        let output = bounded(folder.path(), &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
    tried("files of 1 GB, a pipe and a device in place of a file", 6, "each refused with its limit");
}

#[test]
fn a_record_of_ten_million_samples_is_refused_with_the_limit_and_the_largest_that_is_read_stays_in_bounds() {
    let folder = folder();
    let seed = include_str!("../../fuzz/seeds/record/cpu.json");
    let (head, rest) = seed.split_once("\"samples\":[").unwrap();
    let tail = &rest[rest.find(']').unwrap()..];
    let packed = |bytes: usize| {
        let sample = "{\"time_s\":0},";
        let mut samples = sample.repeat(bytes / sample.len());
        samples.pop();
        [head, "\"samples\":[", &samples, tail].concat()
    };
    fs::write(folder.path().join("ten.json"), packed(130_000_000)).unwrap();
    let output = bounded(folder.path(), &["compare", "ten.json"]);
    assert!(text(&output.stderr).contains("at most 100000000 are read"), "{}", text(&output.stderr));
    fs::write(folder.path().join("most.json"), packed(99_900_000)).unwrap();
    let output = bounded(folder.path(), &["compare", "most.json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    tried(
        "a record of 10 million readings; one of 7.7 million in 100 MB",
        2,
        "refused with the limit; read within 2 s of CPU and 1 GiB",
    );
}

#[test]
fn records_of_hostile_shape_are_refused_in_bounds() {
    let folder = folder();
    let seed = include_str!("../../fuzz/seeds/record/cpu.json");
    let swap = |from: &str, to: &str| {
        assert!(seed.contains(from), "{from}");
        seed.replacen(from, to, 1).into_bytes()
    };
    // The first number under a key.
    let number = |key: &str, value: &str| {
        let at = seed.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
        let end = at + seed[at..].find([',', '}']).unwrap();
        [&seed[..at], value, &seed[end..]].concat().into_bytes()
    };
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("deep nesting", vec![b'['; 50_000_000]),
        ("objects", "{\"schema\":".repeat(5_000_000).into_bytes()),
        ("a long string", [b"{\"schema\":\"".to_vec(), vec![b'x'; 90_000_000]].concat()),
        ("a long number", [b"{\"schema\":".to_vec(), vec![b'9'; 90_000_000]].concat()),
        ("bytes that are no text", vec![0xfe; 90_000_000]),
        ("a key that is there twice", swap("\"schema\":2,", "\"schema\":2,\"schema\":2,")),
        ("NaN", number("forward_s", "NaN")),
        ("1e308", number("forward_s", "1e308")),
        ("1e999", number("forward_s", "1e999")),
        ("a share of 1e300", number("hardware_share", "1e300")),
        ("an energy of 1e300 J", number("energy_j", "1e300")),
        ("times that fall", number("start_s", "1e9")),
        ("a batch of nobody", swap("\"batch_size\":4", "\"batch_size\":0")),
        ("a batch of everybody", swap("\"batch_size\":4", "\"batch_size\":18446744073709551615")),
        ("no layers", swap("\"n_layers\":12", "\"n_layers\":0")),
    ];
    for (what, record) in &hostile {
        fs::write(folder.path().join("record.json"), record).unwrap();
        for command in ["compare", "report"] {
            let output = bounded(folder.path(), &[command, "record.json"]);
            assert_eq!(output.status.code(), Some(1), "{what}");
        }
    }
    assert!(!folder.path().join("report.html").exists(), "nothing is half-written");
    fs::write(folder.path().join("record.json"), seed).unwrap();
    assert!(bounded(folder.path(), &["compare", "record.json"]).status.success(), "the seed itself is valid");
    tried("records of hostile shape", hostile.len(), "each refused within 2 s of CPU and 1 GiB");
}

#[test]
fn csv_of_hours_of_hostile_shape_is_refused_in_bounds() {
    let folder = folder();
    let mega = 16 << 20;
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("columns", ",".repeat(mega - 1).into_bytes()),
        ("lines", "\n".repeat(mega - 1).into_bytes()),
        ("rows", [b"time,intensity\n".to_vec(), "2026-03-01T00:00Z,1\n".repeat(800_000).into_bytes()].concat()),
        ("a quote that never ends", [b"time,intensity\n\"".to_vec(), vec![b'x'; mega - 100]].concat()),
        ("a long field", [b"time,intensity\n".to_vec(), vec![b'x'; mega - 100]].concat()),
        ("bytes that are no text", vec![0xff; mega - 1]),
        ("1e308", b"time,intensity\n2026-03-01T00:00Z,1e308\n".to_vec()),
        ("NaN", b"time,intensity\n2026-03-01T00:00Z,NaN\n".to_vec()),
    ];
    for (what, csv) in &hostile {
        fs::write(folder.path().join("hours.csv"), csv).unwrap();
        let output = bounded(folder.path(), &["estimate", "--hardware", "t4-16gb", "--grid", "hours.csv"]);
        assert_eq!(output.status.code(), Some(1), "{what}");
    }
    tried("CSV files of hours of hostile shape", hostile.len(), "each refused within 2 s of CPU and 1 GiB");
}

#[test]
fn workloads_of_absurd_size_are_refused_or_estimated_and_never_overflow() {
    let folder = folder();
    let with = |from: &str, to: &str| TINY.replace("name: tiny", "name: big").replace(from, to);
    let (mut refused, mut answered) = (0, 0);
    for yaml in [
        with("d_model: 24, n_heads: 3", "d_model: 1000000, n_heads: 10000"),
        with("n_layers: 1", "n_layers: 10000"),
        with("n_layers: 1", "n_layers: 18446744073709551615"),
        with("vocab_size: 101", "vocab_size: 10000000"),
        with("vocab_size: 101", "vocab_size: 10000001"),
        with("max_seq_len: 32", "max_seq_len: 10000000").replace("seq_len: 8}", "seq_len: 10000000}"),
        with("steps: 1000, batch_size: 16", "steps: 1000000000000, batch_size: 1000000000"),
        with("steps: 1000", "steps: 1000000000001"),
        with("steps: 1000", "steps: -1"),
        with("d_ff: 40", "d_ff: 0"),
    ] {
        fs::write(folder.path().join("big.yaml"), &yaml).unwrap();
        for arch in ["dense", "lrt:rank=8", "linformer:k=32,share=none"] {
            let args = [
                "estimate",
                "--workload",
                "big.yaml",
                "--hardware",
                "h100-sxm5-80gb",
                "--arch",
                arch,
                "--format",
                "json",
            ];
            let output = bounded(folder.path(), &args);
            match output.status.code() {
                Some(0) => {
                    // What is no number is `null` in JSON.
                    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                    let estimate = &result["estimates"][0];
                    for name in ["wall_h", "it_energy_kwh", "operational_kgco2e", "cost_usd", "mfu"] {
                        let ends = ["low", "mid", "high"].map(|end| estimate[name][end].as_f64());
                        assert!(ends.iter().all(Option::is_some), "{name} of\n{yaml}{arch}: {}", estimate[name]);
                    }
                    answered += 1;
                }
                code => {
                    assert_eq!(code, Some(1), "{}", text(&output.stderr));
                    refused += 1;
                }
            }
        }
    }
    tried(
        "workloads of absurd size",
        refused + answered,
        format!("{refused} refused, {answered} estimated; no overflow"),
    );
}

#[test]
fn a_catalog_folder_that_leads_round_in_circles_has_an_end() {
    let folder = folder();
    let root = folder.path().join("mine/profiles/grid");
    fs::create_dir_all(&root).unwrap();
    for name in 0..50 {
        std::os::unix::fs::symlink(&root, root.join(name.to_string())).unwrap();
    }
    assert!(bounded(folder.path(), &["catalog", "list", "grid", "--catalog", "mine"]).status.success());
    for name in 0..10_001 {
        fs::write(root.join(format!("{name}.txt")), "").unwrap();
    }
    let output = bounded(folder.path(), &["catalog", "list", "grid", "--catalog", "mine"]);
    assert!(text(&output.stderr).contains("more than 10000 files"), "{}", text(&output.stderr));
    tried("a catalog folder of links that lead round, and one of 10 000 files", 2, "listed; refused with its limit");
}

#[test]
fn a_file_cannot_make_the_program_write_outside_the_folder_it_was_given() {
    let folder = folder();
    let evil = TINY.replace("name: tiny", "name: ../../evil").replace("made up for a test", "../../../etc/evil");
    fs::write(folder.path().join("evil.yaml"), evil).unwrap();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    for file in ["evil.yaml", "my-cpu.yaml"] {
        fs::copy(folder.path().join(file), inner.join(file)).unwrap();
    }
    let args = ["run", "--workload", "evil.yaml", "--hardware", "my-cpu.yaml", "--device", "cpu", "--meter", "none"];
    let mut program = program();
    program.current_dir(&inner).args(args).args(["--arch", "dense", "--max-time", "0.2", "-o", "out"]);
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut names: Vec<_> = fs::read_dir(&inner).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["evil.yaml", "my-cpu.yaml", "out"]);
    assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "tiny.yaml, my-cpu.yaml, evil.yaml, a");
    tried("`../` in the names that a file brings", 2, "nothing written outside the folder that was given");
}
