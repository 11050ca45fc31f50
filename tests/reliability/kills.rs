//! Campaigns that are killed, and two that meet.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use greenformers::record::{Cell, Record, Status};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{campaign, folder, text, tried};

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the program has said `part` on stderr, of which it gives what came so far.
fn wait_for(child: &mut Child, part: &str) -> String {
    let mut said = String::new();
    let mut byte = [0];
    let stderr = child.stderr.as_mut().unwrap();
    while !said.contains(part) && std::io::Read::read(stderr, &mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
    }
    assert!(said.contains(part), "{said}");
    said
}

/// The finished cells of a record that must be valid, by length; nothing if there is no record yet.
fn finished(folder: &Path) -> BTreeMap<usize, Cell> {
    let path = folder.join("out/record.json");
    if !path.exists() {
        return BTreeMap::new();
    }
    let record = Record::load(&path).unwrap_or_else(|e| panic!("{e}"));
    let ok = record.cells.into_iter().filter(|c| c.status == Status::Ok);
    let mut by_length = BTreeMap::new();
    for cell in ok {
        assert!(by_length.insert(cell.shape.seq_len, cell).is_none(), "a cell is there twice");
    }
    by_length
}

/// Cells that a run said it had begun.
fn begun(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("preparing ")).count()
}

/// Kills a campaign `kills` times at random moments, resuming it each time, and begins anew when it comes to its end.
fn kill(kills: usize, seed: u64) {
    // A test that fails shows what it wrote: the seed to find it again.
    let _ = writeln!(std::io::stderr(), "seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut place = folder();
    let (mut lost, mut slowest, mut rounds) = (0, 0.0_f64, 0);
    for n in 0..kills {
        let before = finished(place.path());
        let resume: &[&str] = if place.path().join("out/record.json").exists() { &["--resume"] } else { &[] };
        let mut child = campaign(place.path(), resume).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..3000)));
        let name = ["KILL", "TERM", "INT"][n % 3];
        let at = Instant::now();
        if child.try_wait().unwrap().is_none() {
            signal(&child, name);
        }
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        let after = finished(place.path());
        for (length, cell) in &before {
            assert_eq!(after.get(length), Some(cell), "a cell that was finished was lost or measured again");
        }
        // A cell is finished when the next one is begun.
        let done = begun(&said).saturating_sub(1);
        assert!(
            after.len() >= before.len() + done,
            "{done} cells were finished since, {} are there:\n{said}",
            after.len()
        );
        lost += (before.len() + done).saturating_sub(after.len());
        match output.status.code() {
            // Before it catches signals, and says a word, it ends as any program does.
            None => assert!(name == "KILL" || said.is_empty(), "{name} was not caught: {said}"),
            Some(0) => {
                assert_eq!(after.len(), 4);
                (place, rounds) = (folder(), rounds + 1);
            }
            Some(code) => {
                assert_eq!(code, if name == "INT" { 130 } else { 143 }, "{said}");
                assert!(said.contains("every finished cell is in `out/record.json`"), "{said}");
                assert!(said.contains("-o out") && said.contains("--resume"), "how to go on: {said}");
                slowest = slowest.max(at.elapsed().as_secs_f64());
            }
        }
    }
    let resume: &[&str] = if place.path().join("out/record.json").exists() { &["--resume"] } else { &[] };
    let output = campaign(place.path(), resume).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lengths: Vec<usize> = finished(place.path()).into_keys().collect();
    assert_eq!(lengths, [4, 8, 16, 32], "each cell exactly once");
    let all = Record::load(&place.path().join("out")).unwrap().cells.len();
    assert_eq!(all, 4, "nothing else is left in the record");
    let mut files: Vec<_> = fs::read_dir(place.path().join("out")).unwrap().map(|f| f.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["measurements.csv", "record.json"], "no litter");
    tried(
        "SIGKILL, SIGTERM and Ctrl-C at random moments of a campaign",
        format!("{kills} kills, {} campaigns, seed {seed}", rounds + 1),
        format!("{lost} finished cells lost; every record valid; slowest stop by Ctrl-C or SIGTERM {slowest:.2} s"),
    );
}

#[test]
fn a_campaign_killed_at_random_moments_loses_no_finished_cell() {
    kill(3, rand::random());
}

#[test]
#[ignore = "takes minutes: `tests/reliability.sh` runs it"]
fn a_campaign_killed_fifty_times_loses_no_finished_cell() {
    kill(50, 8);
}

#[test]
fn ctrl_c_ends_a_long_wait_keeps_what_was_measured_and_says_how_to_go_on() {
    let place = folder();
    let mut child = campaign(place.path(), &["--max-time", "1000", "--min-time", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, "measuring dense, 1 x 4");
    std::thread::sleep(Duration::from_millis(300));
    let at = Instant::now();
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let took = at.elapsed().as_secs_f64();
    assert_eq!(output.status.code(), Some(130));
    let said = text(&output.stderr);
    assert!(said.contains("stopped by Ctrl-C") && said.contains("--max-time 1000 --min-time 1000 --resume"), "{said}");
    // Half measured: kept as a row that says so, and measured again by whoever goes on.
    let record = Record::load(&place.path().join("out")).unwrap();
    assert_eq!((record.cells.len(), record.cells[0].status), (1, Status::Failed));
    assert!(!record.cells[0].steps.is_empty());
    assert!(record.cells[0].error.as_ref().unwrap().contains("stopped by Ctrl-C after"), "{:?}", record.cells[0].error);
    tried("Ctrl-C in the middle of a cell of 1000 s", 1, format!("stopped after {took:.2} s; its steps were kept"));
}

#[test]
fn ctrl_c_does_not_wait_for_a_sensor_or_a_step_that_takes_long() {
    let place = folder();
    // Counters that never change are watched for a hundred seconds before anything runs.
    let zone = place.path().join("rapl/intel-rapl:0");
    fs::create_dir_all(&zone).unwrap();
    for (file, content) in [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "5")] {
        fs::write(zone.join(file), content).unwrap();
    }
    let mut child = campaign(place.path(), &["--meter", "rapl", "--powercap-root", "rapl", "--max-time", "100"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, "measuring the idle machine");
    let at = Instant::now();
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let took = at.elapsed();
    assert_eq!(output.status.code(), Some(130));
    assert!(took < Duration::from_secs(8), "it waited for its sensor: {took:?}");
    assert!(Record::load(&place.path().join("out")).unwrap().cells.is_empty());
    tried("Ctrl-C during a wait of ten seconds and more", 1, format!("stopped after {:.2} s", took.as_secs_f64()));
}

#[test]
fn a_reader_of_progress_that_goes_away_ends_no_campaign() {
    let place = folder();
    let mut child = campaign(place.path(), &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, "preparing");
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(finished(place.path()).len(), 4);
    tried("a reader of stderr that goes away in the middle", 1, "the campaign ran to its end");
}

#[test]
fn two_campaigns_into_one_folder_are_one_and_a_dead_one_holds_nothing() {
    let place = folder();
    let mut first =
        campaign(place.path(), &["--max-time", "1000"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut first, "measuring dense");
    let second = campaign(place.path(), &["--resume"]).output().unwrap();
    let message = super::failed_properly(&second);
    assert!(message.contains(&format!("another run (process {}) writes into `out`", first.id())), "{message}");
    first.kill().unwrap();
    first.wait().unwrap();
    let third = campaign(place.path(), &["--resume"]).output().unwrap();
    assert!(third.status.success(), "{}", text(&third.stderr));
    assert_eq!(finished(place.path()).len(), 4);
    tried(
        "two campaigns into one folder; the first then killed",
        2,
        "the second refused with the first's process number; a third went on",
    );
}

#[test]
fn links_in_a_campaigns_folder_lead_nowhere() {
    let place = folder();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let victim = place.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    for name in ["measurements.csv", ".record.json.x.part"] {
        std::os::unix::fs::symlink("../victim", out.join(name)).unwrap();
    }
    assert!(campaign(place.path(), &["--seq-len", "4"]).output().unwrap().status.success());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    // A record that is a link is read like any file, and replaced, not written through.
    fs::rename(out.join("record.json"), place.path().join("elsewhere.json")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.json", out.join("record.json")).unwrap();
    let before = fs::read(place.path().join("elsewhere.json")).unwrap();
    assert!(campaign(place.path(), &["--resume"]).output().unwrap().status.success());
    assert_eq!(fs::read(place.path().join("elsewhere.json")).unwrap(), before);
    let record: Value = serde_json::from_slice(&fs::read(out.join("record.json")).unwrap()).unwrap();
    assert_eq!(record["cells"].as_array().unwrap().len(), 4);
    tried("symbolic links in place of the files of a campaign", 3, "no target written");
}
