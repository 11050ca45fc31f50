//! Machines that are busy with other things.

use std::process::{Child, Command, Stdio};

use greenformers::record::{Record, Status};

use super::{campaign, folder, text, tried};

/// A process that does nothing but run, and is ended when it is dropped.
struct Hog(Child);

impl Hog {
    fn start() -> Self {
        // It ends by itself if the test is killed.
        let spin = "n=0; while [ $n -lt 100000000 ]; do n=$((n+1)); done";
        Self(Command::new("sh").args(["-c", spin]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The warnings of a campaign of one cell, and the width of its interval in per cent.
fn measured(threads: Option<&str>) -> (String, f64) {
    let place = folder();
    let mut campaign = campaign(place.path(), &["--seq-len", "32", "--max-time", "2"]);
    if let Some(threads) = threads {
        campaign.env("RAYON_NUM_THREADS", threads);
    }
    let output = campaign.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record = Record::load(&place.path().join("out")).unwrap();
    let cell = &record.cells[0];
    assert_eq!(cell.status, Status::Ok);
    let width = cell.summary(&record.environment).step_s.map_or(f64::NAN, |s| 100.0 * s.relative_half_width());
    (cell.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), width)
}

#[test]
fn beside_a_hog_a_campaign_completes_and_a_warning_says_why_it_scatters() {
    let (_, quiet) = measured(None);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let hogs: Vec<Hog> = (0..cpus).map(|_| Hog::start()).collect();
    let (warnings, width) = measured(None);
    drop(hogs);
    assert!(warnings.contains("other processes kept") && warnings.contains("the interval is wider"), "{warnings}");
    tried(
        "a CPU hog on each core",
        1,
        format!("completes; step time ±{width:.1} % (±{quiet:.1} % without); a warning says why"),
    );
}

#[test]
fn one_two_and_sixty_four_threads_complete_and_too_many_are_warned_of() {
    let mut widths = Vec::new();
    for (threads, warned) in [("1", false), ("2", false), ("64", true)] {
        let (warnings, width) = measured(Some(threads));
        let few = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 64;
        if warned && few {
            assert!(warnings.contains("64 threads compute on"), "{warnings}");
        } else if threads == "1" {
            assert!(!warnings.contains("threads compute on"), "{warnings}");
        }
        widths.push(format!("{threads}: ±{width:.1} %"));
    }
    tried("1, 2 and 64 rayon threads", 3, format!("complete; step time {}; 64 are warned of", widths.join(", ")));
}
