//! What must not be taken for progress, and what must not mislead.

use super::super::{Hints, Reader};
use super::{bar, day, out};

#[test]
fn trainer_without_bars_prints_dicts_of_fractions_of_an_epoch_only() {
    out()
        .line("***** Running training *****")
        .line("  Num examples = 1,000")
        .line("  Total optimization steps = 375")
        .each((10..200).step_by(10), 5.0, |n, _| {
            format!("{{'loss': 1.3, 'grad_norm': 2.0, 'epoch': {:.2}}}", n as f64 / 125.0)
        })
        .reads_nothing();
}

#[test]
fn resumed_trainer_skips_batches_first() {
    let mut o = out();
    for n in (0..=500).step_by(50) {
        o.wait(0.05);
        let text = bar("", n, 2000, o.now_s, 0.001);
        o.raw(&text);
    }
    for n in 501..600 {
        o.wait(2.0);
        let text = bar("", n, 2000, o.now_s, 2.0);
        o.raw(&text);
    }
    o.reads(500, 599, Some(2000), 2.0);
}

#[test]
fn resumed_bar_starts_at_its_initial_value() {
    let mut o = out();
    o.raw("\r 50%|█████     | 500/1000 [00:00<?, ?it/s]");
    for n in 501..560 {
        o.wait(2.0);
        let text = bar("", n, 1000, o.now_s, 2.0);
        o.raw(&text);
    }
    o.reads(500, 559, Some(1000), 2.0);
}

#[test]
fn ranks_with_prefixes_repeat_lines() {
    let mut o = out();
    for n in 1..=40 {
        o.wait(1.2);
        for rank in [3, 0, 2, 1] {
            o.line(&format!("[rank{rank}]: step {n}/500 loss 2.{rank} time 1.2s"));
        }
    }
    o.reads(0, 40, Some(500), 1.2);
}

#[test]
fn downloads_and_generation_only_are_nothing() {
    let mut o = out();
    for n in (0..=100).step_by(5) {
        o.wait(0.5);
        let text = bar("Downloading shards: ", n, 100, o.now_s, 0.1);
        o.raw(&text);
    }
    o.line("");
    for n in (0..=400).step_by(4) {
        o.wait(0.5);
        let text = bar("Running loglikelihood requests: ", n, 400, o.now_s, 0.12);
        o.raw(&text);
    }
    o.line("");
    for n in (0..=64).step_by(4) {
        o.wait(0.5);
        let text = bar("Generating: ", n, 64, o.now_s, 0.12);
        o.raw(&text);
    }
    o.reads_nothing();
}

#[test]
fn device_table_lines_and_utilisation_are_nothing() {
    out()
        .each((0..60).map(|n| n % 7 + 90), 1.0, |n, _| {
            format!("gpu 0: util {n}% mem 30210/81920 MB temp 65 C power 400/700 W")
        })
        .reads_nothing();
}

#[test]
fn a_validation_inside_every_log_interval_is_a_pause() {
    let mut o = out();
    for k in 0..6 {
        o.each((k * 100 + 10..=k * 100 + 100).step_by(10), 5.0, |n, _| format!("step {n}: loss 1.1"));
        o.wait(60.0).line("eval: loss 1.2 on 64/64 batches");
    }
    let got = o.read().expect("something");
    assert_eq!(got.pauses.len(), 5);
    assert!(got.pauses.iter().all(|pause| (pause.seconds - 60.0).abs() < 1.0), "{:?}", got.pauses);
    o.reads(0, 600, None, 0.5);
}

#[test]
fn a_pattern_of_the_user_is_all_that_is_read() {
    let hints = Hints::default().with_pattern(r"schritt (\d+)(?: von (\d+))?").expect("a pattern");
    let mut reader = Reader::new(hints);
    for n in 1..=10 {
        reader.push(format!("step {} schritt {n} von 40\n", n * 7).as_bytes(), f64::from(n) * 3.0);
    }
    let got = reader.progress().expect("steps");
    assert_eq!((got.steps_done, got.steps_total, got.step_s), (10, Some(40), Some(3.0)));
    assert_eq!(reader.pattern_matches(), Some(10));
    assert!(Hints::default().with_pattern("step").is_err() && Hints::default().with_pattern("(").is_err());
}

#[test]
fn micro_batches_and_steps_in_one_line() {
    out().each(1..=160, 0.5, |n, _| format!("micro_step {n} global_step {} loss 1.0", n / 8)).reads(0, 20, None, 4.0);
}

#[test]
fn evaluation_harness_and_sweeps_of_hyperparameters_are_nothing() {
    let mut o = out();
    for n in 1..=20 {
        o.wait(4.0).line(&format!("Evaluating batch {n}/20: accuracy 0.51"));
    }
    for n in 1..=20 {
        o.wait(4.0).line(&format!("validation step {n}/20 loss 1.1"));
    }
    o.reads_nothing();
}

#[test]
fn server_logs_are_nothing() {
    out()
        .each(1..=50, 1.0, |n, s| {
            format!("{} INFO: 10.0.0.{}:5000 - \"GET /v1/health HTTP/1.1\" 200 OK {}ms", day(s), n % 5, n % 11)
        })
        .reads_nothing();
}

#[test]
fn epoch_lines_beside_a_bar_of_the_whole_run() {
    let mut o = out();
    o.raw("\rsteps:   0%|          | 0/1600 [00:00<?, ?it/s]\n").line("epoch 1/10");
    for n in 1..=120 {
        o.wait(0.8).raw(&bar("steps: ", n, 1600, n as f64 * 0.8, 0.8));
    }
    o.reads(0, 120, Some(1600), 0.8);
}

#[test]
fn builds_workers_trials_and_layers_are_nothing() {
    let mut o = out();
    o.each(1..=12, 3.0, |n, _| {
        format!("[{n}/12] /usr/local/cuda/bin/nvcc -DTORCH_EXTENSION_NAME=cpu_adam -c custom_{n}.cu")
    });
    o.each(1..=8, 1.0, |n, _| format!("worker {n}/8 is ready"));
    o.each(1..=32, 2.0, |n, _| format!("quantized layer {n}/32"));
    o.each((100..=1000).step_by(100), 2.0, |n, _| format!("Processed {n}/1000 prompts, 310.2 tok/s"));
    o.reads_nothing();
}

#[test]
fn a_build_before_the_training_is_not_the_training() {
    let mut o = out();
    o.each(1..=60, 3.0, |n, _| format!("[{n}/60] Building CUDA object {n}.o"));
    o.each((5..=200).step_by(5), 2.5, |n, _| format!("train step {n} loss 1.2"));
    o.reads(0, 200, None, 0.5);
}

#[test]
fn an_inner_bar_of_every_step_is_not_the_run() {
    let mut o = out();
    for step in 1..=20 {
        for n in 0..=8 {
            o.wait(0.5).raw(&bar("accumulate: ", n, 8, n as f64 * 0.5, 0.5));
        }
        o.line("").line(&format!("step {step}/400 loss 1.0"));
    }
    o.reads(0, 20, Some(400), 4.5);
}

#[test]
fn a_program_that_starts_again_after_a_crash_counts_on() {
    let mut o = out();
    o.each((10..=500).step_by(10), 2.0, |n, _| format!("step {n}/2000 loss 1.1"));
    o.wait(60.0).line("RuntimeError: NCCL timeout").line("loading checkpoint of step 400");
    o.each((410..=700).step_by(10), 2.0, |n, _| format!("step {n}/2000 loss 1.1"));
    o.reads(0, 700, Some(2000), 0.2);
}

#[test]
fn tasks_with_labels_that_say_nothing_are_nothing() {
    let mut o = out();
    for round in 0..10 {
        for task in 0..8 {
            o.wait(1.0).line(&format!("{task}: NCCL INFO Channel {round} connected, loss of nothing"));
        }
    }
    o.reads_nothing();
}

#[test]
fn lightning_that_goes_on_in_epoch_three() {
    let mut o = out();
    o.line("`Trainer.fit` resumed, max_epochs=10");
    for e in 3..5 {
        for n in 0..=100 {
            o.wait(0.5).raw(&bar(&format!("Epoch {e}: "), n, 100, n as f64 * 0.5, 0.5));
        }
        o.line("");
    }
    o.reads(300, 500, Some(1000), 0.5);
}

#[test]
fn a_warning_in_the_middle_of_a_bar_changes_nothing() {
    let mut o = out();
    for n in 0..150u64 {
        o.wait(0.4).raw(&bar("", n, 900, n as f64 * 0.4, 0.4));
        if n % 40 == 7 {
            o.line("/usr/lib/python3.10/site-packages/torch/utils/checkpoint.py:295: FutureWarning: step 3/4 of 12 is deprecated");
        }
    }
    o.reads(0, 149, Some(900), 0.4);
}

#[test]
fn any_bytes_are_taken() {
    let mut seed = 7u64;
    let mut reader = Reader::new(Hints::default());
    let words: [&[u8]; 16] = [
        b"step ",
        b"1",
        b"/",
        b"2:3",
        b"[",
        b"\x1b[",
        b"\xff",
        b"\n",
        b"\r",
        b"%|",
        b"99999999999999999999",
        b"epoch",
        b"18446744073709551615/18446744073709551615",
        b"<",
        b"it/s",
        b" 1-1-1 ",
    ];
    for at in 0..60_000u32 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        reader.push(words[(seed >> 60) as usize], f64::from(at));
        if at % 5000 == 0 {
            let _ = reader.progress();
        }
    }
    for s in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        reader.push(b"step 5/7\nstep 6/7\nstep 7/7\n", s);
        let _ = reader.progress();
    }
    reader.finish();
    let _ = reader.progress();
}
