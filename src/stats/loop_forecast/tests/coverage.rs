use super::loops::{KINDS, Kind, Run};
use crate::stats::loop_forecast;

/// How well the intervals of many loops of a kind do.
struct Score {
    covered: f64,
    width: f64,
    oracle: f64,
    oracle_covered: f64,
}

fn score(kind: Kind, part: f64, seeds: std::ops::Range<u64>) -> Score {
    let n = (seeds.end - seeds.start) as f64;
    let mut score = Score { covered: 0.0, width: 0.0, oracle: 0.0, oracle_covered: 0.0 };
    for seed in seeds {
        let run = Run::new(kind, part, seed);
        let total = loop_forecast(&run.marks(), run.steps()).expect("enough marks").total_s;
        let (truth, oracle) = (run.truth(), run.oracle());
        score.covered += f64::from(u8::from(total.contains(truth))) / n;
        score.width += (total.high - total.low) / truth / n;
        score.oracle += (oracle.high - oracle.low) / truth / n;
        score.oracle_covered += f64::from(u8::from(oracle.contains(truth))) / n;
    }
    score
}

#[test]
#[ignore = "takes a minute, and prints the table"]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn the_table_of_all_classes_of_loops() {
    println!("| loop | watched | covered | width | oracle's width | ratio | oracle covers |");
    println!("|---|---|---|---|---|---|---|");
    let mut failed = Vec::new();
    for kind in KINDS {
        for part in [0.02, 0.05, 0.1, 0.2] {
            let s = score(kind, part, 0..400);
            let ratio = s.width / s.oracle;
            println!(
                "| {} | {:.0} % | {:.3} | {:.4} | {:.4} | {ratio:.2} | {:.3} |",
                kind.name,
                100.0 * part,
                s.covered,
                s.width,
                s.oracle,
                s.oracle_covered
            );
            if s.covered < 0.9 || ratio > 2.0 {
                failed.push((kind.name, part));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
#[ignore = "debug"]
fn dbg_breakdown() {
    for kind in KINDS.iter().filter(|k| k.pauses) {
        for part in [0.02, 0.05, 0.1, 0.2] {
            let mut by = [(0, 0, 0, 0, 0, 0.0, 0.0); 3];
            for seed in 0..400 {
                let run = Run::new(*kind, part, seed);
                let marks = run.marks();
                let f = loop_forecast(&marks, run.steps()).unwrap();
                let t = run.truth();
                let past = ((marks.last().unwrap().0 - 1) / 500).min(2) as usize;
                let o = run.oracle();
                let b = &mut by[past];
                b.0 += 1;
                b.1 += u32::from(f.total_s.contains(t));
                b.2 += u32::from(f.total_s.high < t);
                b.3 += u32::from(o.contains(t));
                b.4 += u32::from(o.high < t);
                b.5 += (f.total_s.high - f.total_s.low) / t;
                b.6 += (o.high - o.low) / t;
                if !f.total_s.contains(t) && past > 0 && seed < 100 {
                    println!("  {} {part} seed {seed} steps {} warm {} done {} truth {t:.0} pause {:.1} {f:?} oracle {o:?}", kind.name, run.steps(), run.warm, marks.last().unwrap().0, run.pause_s);
                }
            }
            for (i, b) in by.iter().enumerate() { let n = f64::from(b.0);
                println!("{} {part} seen {i}: n {} cov {:.3} below {:.3} | oracle {:.3} below {:.3} | width {:.3} {:.3}", kind.name, b.0, f64::from(b.1)/n, f64::from(b.2)/n, f64::from(b.3)/n, f64::from(b.4)/n, b.5/n, b.6/n);
            }
        }
    }
}
