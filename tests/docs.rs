//! The pages that people read: every command line in them is one that the program takes, every link leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::reliability::{folder, program, text};

/// Commands of other programs, by how they begin, and why they are not run here.
const NOT_RUN: [(&str, &str); 17] = [
    ("cargo install", "it builds the program again, in release"),
    ("cargo build", "a build of its own: it takes minutes, or a CUDA toolkit"),
    ("cargo test", "these are the tests"),
    ("cargo bench", "what it prints are times, which no test can judge"),
    ("cargo fmt", "`.ci/run` does it"),
    ("cargo clippy", "`.ci/run` does it"),
    ("cargo doc", "`.ci/run` does it"),
    ("cargo check", "`.ci/run` builds more than it does"),
    ("cargo +nightly fuzz", "needs cargo-fuzz, a nightly toolchain and a C++ compiler"),
    ("cargo run --example", "the tests of the examples run them"),
    ("tests/reliability.sh", "it takes hours; a part of it is in these tests"),
    ("tests/mutants.sh", "needs cargo-mutants, and takes most of an hour"),
    ("python3 tests/gpu_emulation/", "needs CUDA's headers"),
    ("LD_LIBRARY_PATH=target/emulated-gpu", "needs the emulated GPU that the line before it builds"),
    (".ci/run", "it runs these tests"),
    ("pip install greenformers", "it installs what is published"),
    ("maturin build", "it builds the program again, in release"),
];

/// What commands of the program have in them that are parsed and not run, and why.
const ONLY_PARSED: [(&str, &str); 3] = [
    ("--device cuda", "needs an NVIDIA GPU"),
    ("--slurm -o", "needs a cluster: `tests/campaign_slurm.rs` has one"),
    ("s3://", "needs a bucket: `tests/s3.rs` has one"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages, by path from the root of the project.
fn pages() -> Vec<(String, String)> {
    let mut paths = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(PathBuf::from).to_vec();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    paths.extend(docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name())));
    paths.sort();
    let read = |path: &PathBuf| (path.display().to_string(), fs::read_to_string(root().join(path)).unwrap());
    paths.iter().map(read).collect()
}

/// The lines of a page that are code: the language of the fence around it, or nothing for one that is indented.
pub(crate) fn code(page: &str) -> Vec<(Option<&str>, &str)> {
    let mut fence: Option<&str> = None;
    let mut found = Vec::new();
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, Some(language)) => found.push((Some(language), line)),
            (None, None) => found.extend(line.strip_prefix("    ").map(|line| (None, line))),
        }
    }
    found
}

fn is_ours(line: &str) -> bool {
    line.starts_with("greenformers ") || line.starts_with("cargo run ")
}

/// The command lines of a page, without what a comment says of them.
fn commands(page: &str) -> Vec<String> {
    let bare = |line: &str| line.split("  #").next().unwrap_or_default().trim().to_owned();
    let lines = code(page).into_iter().filter(|(language, line)| *language == Some("sh") || is_ours(line.trim_start()));
    lines.map(|(_, line)| bare(line)).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Every command line of every page, once.
fn all_commands() -> BTreeSet<String> {
    pages().iter().flat_map(|(_, page)| commands(page)).collect()
}

/// The arguments of a command of the program, if it is one.
fn ours(command: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["greenformers", ref args @ ..] | ["cargo", "run", "--release", "--", ref args @ ..] => Some(args.to_vec()),
        _ => None,
    }
}

/// The arguments of the program, and the command behind `--`.
fn split<'a>(args: &'a [&'a str]) -> (&'a [&'a str], &'a [&'a str]) {
    args.split_at(args.iter().position(|word| *word == "--").unwrap_or(args.len()))
}

/// Asks for help behind the last option: all before it is parsed first, its values too.
fn parsed(args: &[&str]) -> Output {
    let (own, tracked) = split(args);
    program().args(own).arg("--help").args(tracked).output().unwrap()
}

/// The same command, small: a tiny model, seconds instead of minutes, `true` instead of a training.
fn small(args: &[&str]) -> Vec<String> {
    let (own, tracked) = split(args);
    let mut small: Vec<String> = own.iter().map(|&word| word.to_owned()).collect();
    for (option, value) in [("--minutes", "0.02"), ("--idle", "1"), ("--prometheus", "127.0.0.1:0")] {
        if let Some(at) = small.iter().position(|word| word == option) {
            value.clone_into(&mut small[at + 1]);
        }
    }
    if args.first().is_some_and(|command| ["train", "quality"].contains(command)) {
        for (option, value) in [("--steps", "2"), ("--max-time", "1"), ("--seq-len", "8"), ("--batch-size", "2")] {
            match small.iter().position(|word| word == option) {
                Some(at) => value.clone_into(&mut small[at + 1]),
                None if option.starts_with("--s") || option.starts_with("--b") => {
                    small.extend([option, value].map(str::to_owned));
                }
                None => {}
            }
        }
    }
    let tiny = ["--hardware", "my-cpu.yaml", "--device", "cpu"];
    let workload = ["--workload", "tiny.yaml"].map(str::to_owned);
    let own: &[&str] = match args {
        ["run" | "profile", ..] => &["--max-time", "0.2", "--seq-len", "8", "--batch-size", "1"],
        ["validate", ..] if !args.contains(&"--published") => &["--profile", "0.5", "--seq-len", "8"],
        _ => &[],
    };
    if !own.is_empty() {
        match small.iter().position(|word| *word == workload[0]) {
            Some(at) => small[at + 1].clone_from(&workload[1]),
            None => small.extend(workload),
        }
        small.extend(tiny.iter().chain(own).map(|&word| word.to_owned()));
    }
    if !tracked.is_empty() {
        small.extend(["--", "true"].map(str::to_owned));
    }
    small
}

/// A folder with all the files that the pages speak of.
pub(crate) fn desk(args: &[&str]) -> TempDir {
    let folder = folder();
    let path = folder.path();
    let hour = |hour: u32| format!("2026-03-{:02}T{:02}:00Z,{}\n", 1 + hour / 24, hour % 24, 100 + hour);
    let hours = (0..72).map(hour).collect::<String>();
    fs::write(path.join("hours.csv"), format!("timestamp,gco2e_per_kwh\n{hours}")).unwrap();
    fs::write(path.join("my-gpu.yaml"), own_device()).unwrap();
    fs::write(
        path.join("runs.csv"),
        "device,family,n_layers,d_model,n_heads,vocab_size,seq_len,micro_batch,dtype,tokens_per_s,software,attention\n\
         h100-sxm5-80gb,decoder,24,2048,16,50304,2048,8,bf16,25000,compiled,fused\n",
    )
    .unwrap();
    let gpt2 = r#"{"model_type": "gpt2", "n_layer": 12}"#;
    fs::write(path.join("config.json"), gpt2).unwrap();
    fs::write(path.join("forecast.json"), crate::forecast::on_a_gpu("NVIDIA A100-SXM4-80GB", 1, 0.5)).unwrap();
    for version in ["base", "new"] {
        fs::create_dir_all(path.join(version)).unwrap();
        let account = r#"{"schema": 1, "command": ["./train"], "duration_s": 1, "it_energy_kwh": {"mid": 1, "low": 1, "high": 1}}"#;
        fs::write(path.join(version).join("run.json"), account).unwrap();
    }
    if args.first().is_some_and(|command| ["train", "quality"].contains(command)) {
        fs::copy(root().join("docs/measuring.md"), path.join("text.txt")).unwrap();
        let tiny = gpt2.replace("12}", r#"1, "n_embd": 12, "n_head": 3, "n_positions": 16, "vocab_size": 300}"#);
        fs::write(path.join("config.json"), tiny).unwrap();
        fs::create_dir(path.join("books")).unwrap();
        fs::copy(path.join("text.txt"), path.join("books/one.md")).unwrap();
    }
    if args.contains(&"--from") {
        crate::whitened::with_tokenizer(path, "small", "gpt2");
        fs::write(path.join("text.txt"), crate::whitened::sample().repeat(3)).unwrap();
    }
    if args.first() == Some(&"campaign") {
        let plan = "name: lengths\nworkload: tiny.yaml\narchs: [dense]\nseq_lens: [8]\nbatch_size: 1\nsteps: 2\nmax_time: 0.2\n\
                    machines: [{name: cpu, device: cpu, meter: none}]\n";
        fs::write(path.join("plan.yaml"), plan).unwrap();
    }
    if args.contains(&"factorize") {
        fs::write(path.join("text.txt"), crate::whitened::sample()).unwrap();
        for (name, model) in [("gpt2", "gpt2"), ("bert-base-uncased", "dense")] {
            crate::whitened::with_tokenizer(path, name, model);
        }
    }
    let part = r#"{"device": "cpu", "kind": "cpu", "id": "intel-rapl:0", "energy_j": {"mid": 2, "low": 1, "high": 3}}"#;
    let record = format!(
        r#"{{"schema": 1, "command": ["./train"], "started": "2026-11-26T10:00:00Z", "duration_s": 1, "lines": [{part}]}}"#
    );
    fs::create_dir_all(path.join("records")).unwrap();
    fs::write(path.join("records/0.json"), record).unwrap();
    for name in ["run.json", "other.json"] {
        fs::copy(path.join("records/0.json"), path.join(name)).unwrap();
    }
    if args.contains(&"--calibration") {
        assert!(program().current_dir(path).args(["catalog", "calibrate", "runs.csv"]).status().unwrap().success());
    }
    // A campaign writes where nothing is yet; all else reads what a campaign wrote.
    if !matches!(args, ["run" | "profile", ..]) {
        let records = ["mine", "my-gpu", "h200-bert-base", "a100", "h100", "workstation"];
        for name in records {
            fs::create_dir_all(path.join("reports").join(name)).unwrap();
            let from = root().join("reports/h200-bert-base/record.json");
            fs::copy(from, path.join("reports").join(name).join("record.json")).unwrap();
        }
    }
    folder
}

/// The file of hardware that the page on the catalog shows.
fn own_device() -> String {
    let page = fs::read_to_string(root().join("docs/catalog.md")).unwrap();
    let lines = code(&page).into_iter().filter(|(language, _)| *language == Some("yaml"));
    lines.map(|(_, line)| line).collect::<Vec<&str>>().join("\n")
}

fn run(args: &[&str]) -> Output {
    let desk = desk(args);
    let words = small(args);
    let run = |words: &[String]| program().args(words).current_dir(desk.path()).output().unwrap();
    if let [campaign, "status" | "collect", place, ..] = args
        && *campaign == "campaign"
    {
        let begin = ["campaign", "plan.yaml", "--local", "-o", place].map(str::to_owned);
        assert!(run(&begin).status.success(), "{begin:?}");
    }
    if words.iter().any(|word| word == "--resume") {
        let begin: Vec<String> = words.iter().filter(|word| *word != "--resume").cloned().collect();
        assert!(run(&begin).status.success(), "{begin:?}");
    }
    run(&words)
}

#[test]
fn the_first_answer_of_the_readme_is_what_the_program_prints() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let command = commands(&readme).into_iter().find(|line| line.starts_with("greenformers estimate ")).unwrap();
    // The day from which the age of prices counts.
    let output =
        program().args(ours(&command).unwrap()).env("COLUMNS", "100").env("SOURCE_DATE_EPOCH", "1795824000").output();
    let answer = text(&output.unwrap().stdout);
    assert!(answer.lines().count() > 8, "{answer}");
    assert!(readme.contains(answer.trim_end()), "the README says otherwise than `{command}`:\n{answer}");
}

#[test]
fn every_command_line_of_the_pages_is_one_that_the_program_takes() {
    let commands = all_commands();
    let of_ours: Vec<&String> = commands.iter().filter(|command| ours(command).is_some()).collect();
    assert!(of_ours.len() > 30, "{} are found", of_ours.len());
    for command in of_ours {
        let output = parsed(&ours(command).unwrap());
        assert!(output.status.success(), "{command}\n{}", text(&output.stderr));
    }
}

#[test]
fn every_command_line_of_the_pages_does_what_it_is_for() {
    let mut not_run = BTreeSet::new();
    for command in all_commands() {
        let Some(args) = ours(&command) else { continue };
        if let Some((what, _)) = ONLY_PARSED.iter().find(|(what, _)| command.contains(what)) {
            not_run.insert(*what);
            continue;
        }
        let output = run(&args);
        assert!(output.status.success(), "{command}\n{}{}", text(&output.stdout), text(&output.stderr));
        let silent = args[0] == "track" || args[0] == "forecast" || args.contains(&"-o");
        assert!(silent || !output.stdout.is_empty(), "{command} prints nothing");
    }
    assert!(ONLY_PARSED.iter().all(|(what, _)| not_run.contains(what)), "no page has it: {ONLY_PARSED:?}");
}

#[test]
fn commands_of_other_programs_are_known_with_the_reason_why_they_are_not_run() {
    let mut used = BTreeSet::new();
    for command in all_commands().iter().filter(|command| ours(command).is_none()) {
        let known = NOT_RUN.iter().find(|(begin, _)| command.starts_with(begin));
        let (begin, _) = known.unwrap_or_else(|| panic!("`{command}`: why is it not run?"));
        used.insert(*begin);
    }
    let unused: Vec<&str> = NOT_RUN.iter().map(|(begin, _)| *begin).filter(|begin| !used.contains(begin)).collect();
    assert!(unused.is_empty(), "on no page: {unused:?}");
}

#[test]
fn a_wrong_command_line_would_be_seen() {
    for wrong in ["run --no-such-option", "track --gird fra -- true", "estimate --devices none", "no-such-command"] {
        let args: Vec<&str> = wrong.split(' ').collect();
        assert!(!parsed(&args).status.success(), "{wrong}");
    }
    let page = "text\n\n    greenformers run   # a comment\n    other words\n\n```sh\ncargo run --release -- run\nls\n```\n\n\
                ```text\ngreenformers lists\n```\n";
    assert_eq!(commands(page), ["greenformers run", "cargo run --release -- run", "ls", "greenformers lists"]);
    assert_eq!(ours("cargo run --release -- run --quiet"), Some(vec!["run", "--quiet"]));
    assert_eq!(ours("cargo test"), None);
}

#[test]
fn code_says_what_it_is_so_that_no_command_hides_in_it() {
    for (path, page) in pages() {
        for (language, line) in code(&page) {
            let known = ["sh", "text", "yaml", "rust", "python"];
            assert!(language.is_none_or(|l| known.contains(&l)), "{path}: a fence of {language:?}: {line}");
        }
    }
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_that_are_there() {
    let mut links = 0;
    for (path, page) in pages() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for part in page.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            assert!(file.exists(), "{path}: {target}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                let headings =
                    text.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches(['#', ' '])));
                assert!(headings.into_iter().any(|h| h == heading), "{path}: {target}");
            }
        }
    }
    assert!(links > 40, "{links} links are found");
}

#[test]
fn every_file_of_the_project_that_the_pages_name_is_there() {
    let mut named = 0;
    for (path, page) in pages() {
        for word in page.split('`').skip(1).step_by(2) {
            let folders =
                ["src/", "tests/", "docs/", "fuzz/", "benches/", "examples/", "hardware/", "profiles/", ".ci/"];
            let is_path = folders.iter().any(|f| word.starts_with(f)) && !word.contains([' ', '*']);
            if is_path {
                named += 1;
                assert!(root().join(word).exists(), "{path}: `{word}`");
            }
        }
    }
    assert!(named > 60, "{named} are found");
}

#[test]
fn every_example_is_short_and_does_what_its_first_line_says() {
    let room = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.lines().count() < 40, "{} is long", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (_, call) = source.lines().next().unwrap().split_once(&format!("`cargo run --example {name} -- ")).unwrap();
        let call = call.trim_end_matches('`').replace("my-report", &room.path().join("my-report").to_string_lossy());
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["run", "--quiet", "--offline", "--example", &name]);
        // As these tests were built, so that nothing is built again.
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        if cfg!(feature = "cuda") {
            cargo.args(["--features", "cuda"]);
        }
        let output = cargo.arg("--").args(call.split(' ')).output().unwrap();
        assert!(output.status.success(), "{name}: {}: {}", output.status, text(&output.stderr));
        let printed = text(&output.stdout);
        let expected = match name.as_str() {
            "load_record" => "\ndense, 256 x 128, bf16: 0.0460 [0.0458, 0.0463] s a step, 32.3 J\n",
            "estimate" => "dense: ",
            "write_report" => "report.html\n",
            _ => panic!("what does `{name}` print?"),
        };
        assert!(printed.contains(expected), "{name}: {printed}");
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["estimate", "load_record", "write_report"]);
    assert!(room.path().join("my-report/report.html").exists());
}
