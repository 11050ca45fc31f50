use super::loops::{KINDS, Kind, Run};
use crate::stats::loop_forecast;

/// How well the intervals of many loops of a kind do. Widths are over the true time.
#[derive(Default)]
struct Score {
    loops: f64,
    covered: f64,
    width: f64,
    oracle_covered: f64,
    oracle_width: f64,
    /// The width that the pace alone gives, over the oracle's: no pause is awaited by either.
    pace: f64,
    oracle_pace: f64,
}

impl Score {
    fn add(&mut self, kind: Kind, part: f64, seeds: std::ops::Range<u64>) {
        for seed in seeds {
            let run = Run::new(kind, part, seed);
            let total = loop_forecast(&run.marks(), run.steps()).expect("enough marks").total_s;
            let (truth, oracle) = (run.truth(), run.oracle());
            let (pace, oracle_pace) = run.of_pace_alone();
            self.loops += 1.0;
            self.covered += f64::from(u8::from(total.contains(truth)));
            self.width += (total.high - total.low) / truth;
            self.oracle_covered += f64::from(u8::from(oracle.contains(truth)));
            self.oracle_width += (oracle.high - oracle.low) / truth;
            self.pace += (pace.high - pace.low) / truth;
            self.oracle_pace += (oracle_pace.high - oracle_pace.low) / truth;
        }
    }

    fn coverage(&self) -> f64 {
        self.covered / self.loops
    }

    fn ratios(&self) -> [f64; 2] {
        [self.width / self.oracle_width, self.pace / self.oracle_pace]
    }
}

#[test]
fn intervals_of_every_class_of_loops_hold_the_truth_and_are_no_wider_than_twice_an_oracles() {
    for kind in KINDS {
        let mut score = Score::default();
        for (part, seeds) in [(0.02, 0..24), (0.05, 24..48), (0.1, 48..72), (0.2, 72..96)] {
            score.add(kind, part, seeds);
        }
        // Two standard deviations of a share of 0.9 of 96 loops.
        let margin = 2.0 * f64::sqrt(0.9 * 0.1 / 96.0);
        assert!(score.coverage() >= 0.9 - margin, "{}: {}", kind.name, score.coverage());
        assert!(score.ratios().iter().all(|ratio| *ratio <= 2.0), "{}: {:?}", kind.name, score.ratios());
    }
}

#[test]
#[ignore = "takes a minute in a release build, and prints the table"]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn the_table_of_all_classes_of_loops_over_400_seeds() {
    println!("| loop | watched | covered | width | oracle covers | oracle's width | ratio | ratio of the pace alone |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut failed = Vec::new();
    for kind in KINDS {
        for part in [0.02, 0.05, 0.1, 0.2] {
            let mut s = Score::default();
            s.add(kind, part, 0..400);
            let [whole, pace] = s.ratios();
            println!(
                "| {} | {:.0} % | {:.3} | {:.3} | {:.3} | {:.3} | {whole:.2} | {pace:.2} |",
                kind.name,
                100.0 * part,
                s.coverage(),
                s.width / s.loops,
                s.oracle_covered / s.loops,
                s.oracle_width / s.loops,
            );
            if s.coverage() < 0.9 || whole > 2.0 || pace > 2.0 {
                failed.push((kind.name, part));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
