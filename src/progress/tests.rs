//! Output of programs in small, one test for each form.

use super::{Hints, Progress, Reader};

/// Output with times.
#[derive(Default)]
struct Output {
    parts: Vec<(f64, String)>,
    now_s: f64,
}

impl Output {
    fn line(&mut self, text: &str) -> &mut Self {
        self.parts.push((self.now_s, format!("{text}\n")));
        self
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.parts.push((self.now_s, text.to_owned()));
        self
    }

    fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now_s += seconds;
        self
    }

    /// A line for each step of a range, so many seconds apart.
    fn each(
        &mut self,
        steps: impl IntoIterator<Item = u64>,
        every_s: f64,
        text: impl Fn(u64, f64) -> String,
    ) -> &mut Self {
        for step in steps {
            self.now_s += every_s;
            let text = text(step, self.now_s);
            self.line(&text);
        }
        self
    }

    fn read(&self) -> Option<Progress> {
        let mut reader = Reader::new(Hints::default());
        for (at_s, text) in &self.parts {
            reader.push(text.as_bytes(), *at_s);
        }
        reader.finish();
        reader.progress()
    }

    /// Start, done and total, and the pace within three in a hundred.
    #[track_caller]
    fn reads(&self, start: u64, done: u64, total: Option<u64>, step_s: f64) {
        let got = self.read().expect("something is read");
        let brief = (got.start_step, got.steps_done, got.steps_total);
        assert!(
            got.start_step.abs_diff(start) <= 1 && got.steps_done.abs_diff(done) <= 1 && got.steps_total == total,
            "{brief:?} instead of {:?}: {}",
            (start, done, total),
            got.recognised_as
        );
        let pace = got.step_s.expect("a pace is read");
        assert!((pace / step_s - 1.0).abs() < 0.03, "{pace} instead of {step_s}: {}", got.recognised_as);
    }

    #[track_caller]
    fn reads_nothing(&self) {
        let got = self.read();
        assert!(got.is_none(), "{got:?}");
    }
}

fn out() -> Output {
    Output::default()
}

/// `mm:ss` or `h:mm:ss`, as bars write it.
fn clock(s: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Seconds of a test.")]
    let s = s as u64;
    if s < 3600 {
        format!("{:02}:{:02}", s / 60, s % 60)
    } else {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

fn bar(name: &str, n: u64, total: u64, s: f64, step_s: f64) -> String {
    let rate = if step_s > 1.0 { format!("{step_s:.2}s/it") } else { format!("{:.2}it/s", 1.0 / step_s) };
    let left = (total - n) as f64 * step_s;
    format!("\r{name}{:3}%|█▌  | {n}/{total} [{}<{}, {rate}]", n * 100 / total, clock(s), clock(left))
}

fn day(s: f64) -> String {
    format!("2024-05-01 {:0>8}", clock(s + 36000.0))
}

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
fn key_and_value_lines_of_litgpt_pretraining() {
    out().line("Total parameters: 1,100,048,384")
        .each((1..60).map(|n| n * 4), 2.0, |n, _| format!("Epoch 1 | iter {n} step {} | loss train: 2.1, val: n/a | iter time: 500.00 ms (step) remaining time: 1 day", n / 4))
        .reads(0, 59, None, 2.0);
}

#[test]
fn gpt_in_c() {
    out().line("max_seq_len: 1024").each(1..=40, 0.23, |n, _| format!("step {n:4}/19560 | loss 7.577051 (+nanz)| norm 1.1461 (+nanz)| lr 2.5e-04 | 230.10 ms | 45.6% bf16 MFU | 228055 tok/s"))
        .reads(0, 40, Some(19560), 0.23);
}

#[test]
fn nanotron_with_thousands() {
    out().line("[Config] train_steps: 2000").each(1..=30, 3.1, |n, s| format!("{} [INFO|DP=0|PP=0|TP=0]: iteration: {n} / 2000 | consumed_tokens: 1.05M | elapsed_time_per_iteration_ms: 3.1K | tokens_per_sec: 338K | lm_loss: 8.1", day(s)))
        .reads(0, 30, Some(2000), 3.1);
}

#[test]
fn torchvision_metric_logger() {
    let mut o = out();
    for e in 0..2 {
        o.each((0..100).step_by(10), 3.5, |n, _| format!("Epoch: [{e}]  [{n:4}/100]  eta: 0:00:{:02}  lr: 0.1  loss: 2.3 (2.4)  time: 0.3500  data: 0.0100  max mem: 4000", 59 - n / 2));
        o.line(&format!("Epoch: [{e}] Total time: 0:00:35"));
        o.each((0..20).step_by(5), 0.5, |n, _| {
            format!("Test:  [ {n}/20]  eta: 0:00:05  loss: 2.1  time: 0.1  data: 0.0")
        });
    }
    o.reads(0, 191, None, 0.35);
}

#[test]
fn detectron_with_eta_and_a_day_without_year() {
    out().each((1..25).map(|n| n * 20 - 1), 4.2, |n, s| format!("[03/04 {:0>8} d2.utils.events]:  eta: 5:10:01  iter: {n}  total_loss: 1.73  loss_cls: 0.5  time: 0.2100  data_time: 0.0102  lr: 0.00002  max_mem: 3500M", clock(s + 36000.0)))
        .reads(0, 479, None, 0.21);
}

#[test]
fn mm_engine_with_train_in_parentheses() {
    let mut o = out();
    o.line("max_epochs=12, val_interval=1");
    for e in 1..3 {
        o.each((50..=500).step_by(50), 20.0, |n, s| format!("{} - mmengine - INFO - Epoch(train)  [{e}][{n:3}/500]  lr: 2.0e-02  eta: 1:40:10  time: 0.4000  data_time: 0.01  memory: 3000  loss: 1.2", day(s)));
        o.each((50..=100).step_by(50), 3.0, |n, s| {
            format!(
                "{} - mmengine - INFO - Epoch(val)  [{e}][{n:3}/100]    eta: 0:00:01  time: 0.06  data_time: 0.002",
                day(s)
            )
        });
    }
    o.reads(0, 1000, Some(6000), 0.4);
}

#[test]
fn mm_engine_by_iterations() {
    out().each((50..=1500).step_by(50), 16.0, |n, s| format!("{} - mmengine - INFO - Iter(train) [ {n}/160000]  base_lr: 6.0e-05 lr: 1.9e-06  eta: 14:10:11  time: 0.3200  data_time: 0.008  memory: 9000  loss: 2.1", day(s)))
        .reads(0, 1500, Some(160_000), 0.32);
}

#[test]
fn paddle_global_step() {
    out()
        .each((10..=300).step_by(10), 4.0, |n, s| {
            format!(
                "[{},012] [    INFO] - global step {n}, epoch: 1, batch: {}, loss: 0.41, accu: 0.8, speed: 2.50 step/s",
                day(s),
                n - 1
            )
        })
        .reads(0, 300, None, 0.4);
}

#[test]
fn estimator_with_step_behind_the_loss() {
    out()
        .each((1..20).map(|n| n * 100), 8.1, |n, s| {
            format!(
                "INFO:tensorflow:global_step/sec: 12.3457\nINFO:tensorflow:loss = 0.1{}, step = {n} (8.100 sec)",
                s.trunc() % 7.0
            )
        })
        .reads(0, 1900, None, 0.081);
}

#[test]
fn keras_3_bars() {
    let mut o = out();
    for e in 1..=2 {
        o.line(&format!("Epoch {e}/5"));
        for n in (1..=100).step_by(3) {
            o.wait(0.3).raw(&format!("\r\x1b[1m{n:3}/100\x1b[0m \x1b[32m━━━\x1b[0m\x1b[37m━━━━\x1b[0m \x1b[1m{}s\x1b[0m 100ms/step - accuracy: 0.51 - loss: 1.2", (100 - n) / 10));
        }
        o.wait(3.0).line(
            "\r\x1b[1m100/100\x1b[0m \x1b[32m━━━━━━\x1b[0m 13s 130ms/step - accuracy: 0.6 - loss: 1.0 - val_loss: 1.1",
        );
    }
    o.reads(0, 200, Some(500), 0.1);
}

#[test]
fn open_clip_counts_samples_in_brackets() {
    let mut o = out();
    for e in 0..2 {
        o.each((0..10).map(|n| n * 5120), 4.0, |n, s| format!("{} | INFO | Train Epoch: {e} [{n:7}/51200 ({}%)] Data (t): 0.1 Batch (t): 0.400, 1280/s, 1280/s/gpu LR: 0.0001 Logit Scale: 14.2 Contrastive_loss: 6.1 (6.2)", day(s), n / 512));
    }
    o.reads(0, 97_280, None, 4.0 / 5120.0);
}

#[test]
fn pytorch_examples_of_digits() {
    let mut o = out();
    for e in 1..=2 {
        o.each((0..60_000).step_by(640), 0.1, |n, _| {
            format!("Train Epoch: {e} [{n}/60000 ({}%)]\tLoss: 0.345{}", n / 600, n % 7)
        });
        o.line("\nTest set: Average loss: 0.0512, Accuracy: 9821/10000 (98%)\n").wait(2.0);
    }
    o.reads(0, 119_520, None, 0.1 / 640.0);
}

#[test]
fn imagenet_example_with_brackets_glued() {
    let mut o = out();
    for e in 0..2 {
        o.each((1..=50).map(|n| n * 10), 2.5, |n, _| format!("Epoch: [{e}][{n:4}/500]\tTime  0.250 ( 0.262)\tData  0.001 ( 0.012)\tLoss 6.9e+00 (7.0e+00)\tAcc@1   0.39 (  0.16)"));
        o.each((1..=5).map(|n| n * 10), 1.0, |n, _| format!("Test: [ {n}/50]\tTime  0.1 ( 0.1)\tLoss 6.8e+00"));
    }
    o.reads(0, 1000, None, 0.25);
}

#[test]
fn accelerate_bar_with_two_lines_of_logging_between() {
    let mut o = out();
    for n in 0..200 {
        o.wait(0.5);
        let text = bar("Training: ", n, 1000, o.now_s, 0.5);
        o.raw(&text);
        if n % 50 == 49 {
            o.wait(4.0).line("").line("05/01/2024 10:00:00 - INFO - __main__ - Saved state to out/step_50, 3/10 kept");
        }
    }
    o.reads(0, 199, Some(1000), 0.5);
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
fn maxtext_and_other_jax_prints() {
    out().each(0..30, 2.1, |n, _| format!("completed step: {n}, seconds: 2.100, TFLOP/s/device: 150.123, Tokens/s/device: 3900.1, total_weights: 65536, loss: 9.{n}"))
        .reads(0, 30, None, 2.1);
}

#[test]
fn t5x_and_levanter() {
    let mut o = out();
    o.line("I0501 10:00:00.000000 140 trainer.py:100] Training: step 1000 to 50000");
    let mut s = 0.0;
    for n in (1000..1400).step_by(10) {
        s += 3.0;
        o.wait(3.0).line(&format!(
            "I0501 10:{:02}:{:02}.123456 140 train.py:500] train at step {n}: loss 3.2, 0.3 s per step",
            (s as u64) / 60,
            (s as u64) % 60
        ));
    }
    o.reads(1000, 1390, None, 0.3);
}

#[test]
fn spacy_table() {
    let mut o = out();
    o.line("E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  SCORE")
        .line("---  ------  ------------  --------  ------  ------");
    o.each((0..4000).step_by(200), 30.0, |n, _| {
        format!(
            "{:3}  {n:6}       {:>8.2}    {:>6.2}   {:.2}    0.{:02}",
            n / 800,
            100.5 - n as f64 / 100.0,
            50.25,
            12.5,
            n / 100
        )
    });
    o.reads(0, 3800, None, 0.15);
}

#[test]
fn open_nmt_with_a_blank_behind_the_slash() {
    out().each((50..=1500).step_by(50), 25.0, |n, s| format!("[{},100 INFO] Step {n}/ 100000; acc:   5.01; ppl: 8000.1; xent: 8.99; lr: 0.00001; 3000/3001 tok/s;  {s:5.0} sec", day(s)))
        .reads(0, 1500, Some(100_000), 0.5);
}

#[test]
fn own_loop_with_thousands_and_of() {
    out()
        .each((1..=30).map(|n| n * 100), 11.0, |n, _| {
            format!("Step {},{:03} of 20,000: loss=2.301", n / 1000, n % 1000)
        })
        .reads(0, 3000, Some(20_000), 0.11);
}

#[test]
fn bracketed_step_in_front() {
    out()
        .each((100..=3000).step_by(100), 7.0, |n, _| format!("[{n}] loss={:.3} lr=0.001", 3.0 - n as f64 / 5000.0))
        .reads(0, 3000, None, 0.07);
}

#[test]
fn json_lines() {
    out()
        .line("{\"max_steps\": 4000, \"lr\": 0.1}")
        .each((20..=800).step_by(20), 6.0, |n, s| {
            format!(
                "{{\"train/loss\": 1.2, \"train/global_step\": {n}, \"_timestamp\": {:.2}, \"lr\": 0.0001}}",
                1_700_000_000.0 + s
            )
        })
        .reads(0, 800, Some(4000), 0.3);
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
fn epochs_only_are_counted_as_epochs() {
    out().each(1..=12, 40.0, |n, _| format!("Epoch {n}/100, train loss: 0.51, val loss: 0.61, time: 40.0s")).reads(
        0,
        12,
        Some(100),
        40.0,
    );
}

#[test]
fn lightning_2_with_validation_bars_below() {
    let mut o = out();
    o.raw("\rSanity Checking DataLoader 0: 100%|██| 2/2 [00:00<00:00, 9.0it/s]\r");
    for e in 0..2 {
        for n in 0..=100 {
            o.wait(0.5).raw(&bar(&format!("Epoch {e}: "), n, 100, n as f64 * 0.5, 0.5));
        }
        for n in 0..=20 {
            o.wait(0.2).raw(&format!("\n{}\x1b[A", bar("Validation DataLoader 0: ", n, 20, n as f64 * 0.2, 0.2)));
        }
    }
    o.reads(0, 200, None, 0.5);
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
fn yolo_5_bar_with_brackets() {
    let mut o = out();
    o.line("Starting training for 30 epochs...");
    for e in 0..3 {
        o.line("     Epoch   gpu_mem       box       obj       cls    labels  img_size");
        for n in 1..=80 {
            o.wait(0.4).raw(&bar(
                &format!("      {e}/29     3.5G   0.10{}   0.0{}   0.05        35       640: ", n % 7, n),
                n,
                80,
                n as f64 * 0.4,
                0.4,
            ));
        }
        o.line("");
        for n in 1..=10 {
            o.wait(0.3).raw(&bar(
                "               Class     Images     Labels          P          R     mAP@.5 mAP@.5:.95: ",
                n,
                10,
                n as f64 * 0.3,
                0.3,
            ));
        }
        o.line("");
    }
    o.reads(0, 240, Some(2400), 0.4);
}

#[test]
fn deepspeed_steps_every_ten() {
    out().each((10..=300).step_by(10), 15.0, |n, s| format!("[{},345] [INFO] [logging.py:96:log_dist] [Rank 0] step={n}, skipped=0, lr=[1e-05], mom=[(0.9, 0.95)]\n[{},345] [INFO] [timer.py:260:stop] epoch=0/micro_step={}/global_step={n}, RunningAvgSamplesPerSec=21.3, CurrSamplesPerSec=21.4, MemAllocated=3.1GB", day(s), day(s), n * 4))
        .reads(0, 300, None, 1.5);
}

#[test]
fn whisper_with_total_in_words() {
    out()
        .line("Total training steps: 5000")
        .each((25..=700).step_by(25), 30.0, |n, _| format!("Step... ({n} | Loss: 0.51, Learning Rate: 1e-05)"))
        .reads(0, 700, Some(5000), 1.2);
}

#[test]
fn julia_and_r_prints() {
    out()
        .each((10..=400).step_by(10), 2.0, |n, _| format!("┌ Info: Iteration {n}: loss = 0.1234 (elapsed 2.0 s)"))
        .reads(0, 400, None, 0.2);
}

#[test]
fn kaldi_style_blocks() {
    let mut o = out();
    for e in 1..=2 {
        o.each((100..=900).step_by(100), 12.0, |n, s| {
            format!(
                "{},001 DEBUG TRAIN Batch {}/{n} loss 40.1 loss_att 60.1 loss_ctc 20.2 lr 0.0001 rank 0",
                day(s),
                e - 1
            )
        });
        o.each((100..=200).step_by(100), 4.0, |n, s| {
            format!("{},001 DEBUG CV Batch {}/{n} loss 30.1 history loss 33.1", day(s), e - 1)
        });
    }
    let got = o.read().expect("something");
    assert!((got.step_s.expect("pace") - 0.12).abs() < 0.01, "{got:?}");
}

#[test]
fn colossal_bar_with_epoch_in_brackets() {
    let mut o = out();
    for e in 0..2 {
        for n in 0..=60 {
            o.wait(1.5).raw(&bar(&format!("[Epoch {e} / 3]: "), n, 60, n as f64 * 1.5, 1.5));
        }
    }
    o.reads(0, 120, Some(180), 1.5);
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
        reader.push(format!("step {} schritt {n} von 40\n", n * 7).as_bytes(), n as f64 * 3.0);
    }
    let got = reader.progress().expect("steps");
    assert_eq!((got.steps_done, got.steps_total, got.step_s), (10, Some(40), Some(3.0)));
    assert_eq!(reader.pattern_matches(), Some(10));
    assert!(Hints::default().with_pattern("step").is_err() && Hints::default().with_pattern("(").is_err());
}

#[test]
fn iso_times_and_bare_numbers() {
    out()
        .each((400..900).step_by(10), 81.0, |n, s| {
            format!("2024-01-01T{:0>8}.500Z {n} | loss 5.2594 | lr 2.0e-04 | 8100.00ms | mfu 0.19%", clock(s + 36000.0))
        })
        .reads(390, 890, None, 8.1);
}

#[test]
fn hugging_face_progress_callback_in_notebooks_prints_pairs() {
    out()
        .each((1..=60).map(|n| n * 5), 3.0, |n, s| {
            format!(" [{n:4}/1200 {} < {}, 1.66 it/s, Epoch 0.5/3]", clock(s), clock(700.0 - s))
        })
        .reads(0, 300, Some(1200), 0.6);
}

#[test]
fn fairseq2_and_metric_bars_with_pipes() {
    out().each((100..=3000).step_by(100), 40.0, |n, s| format!("[{}] INFO fairseq2 - Train Metrics (step {n}) - CTC Loss: 2.1 | Elapsed Time: 40s | Wall Time: {s:.0}s | Elements Per Second: 4,000", day(s)))
        .reads(0, 3000, None, 0.4);
}

#[test]
fn allennlp_bar_with_loss_in_front() {
    let mut o = out();
    for e in 0..2 {
        o.line(&format!("2024-05-01 10:00:00,000 - INFO - allennlp.training.trainer - Epoch {e}/4"));
        for n in 0..=90 {
            o.wait(0.7).raw(&bar(
                &format!("accuracy: 0.5{}, loss: 0.6{} ||: ", n % 9, n % 7),
                n,
                90,
                n as f64 * 0.7,
                0.7,
            ));
        }
        o.line("");
        for n in 0..=9 {
            o.wait(0.4).raw(&bar(&format!("accuracy: 0.5{n}, loss: 0.6{n} ||: "), n, 9, n as f64 * 0.4, 0.4));
        }
        o.line("");
    }
    o.reads(0, 180, Some(450), 0.7);
}

#[test]
fn iterations_with_a_percentage_and_hours_left() {
    out()
        .each((50..=2000).step_by(50), 60.0, |n, _| {
            format!("Iteration {n} / 40000 ({:.1}%) | loss 1.93 | 1.20 s/iter | ETA 12h 40m", n as f64 / 400.0)
        })
        .reads(0, 2000, Some(40_000), 1.2);
}

#[test]
fn glued_names_and_numbers() {
    out().each((10..=500).step_by(10), 3.0, |n, _| format!("epoch1 iter{n} loss:0.5 acc:0.9")).reads(0, 500, None, 0.3);
}

#[test]
fn yaml_blocks_of_ray() {
    let mut o = out();
    for n in 1..=12 {
        o.wait(30.0)
            .line("Result for PPO_env_0:")
            .line("  episode_reward_mean: 20.1")
            .line(&format!("  timesteps_total: {}", n * 4000))
            .line(&format!("  time_total_s: {:.3}", n as f64 * 30.0 + 0.123))
            .line(&format!("  training_iteration: {n}"));
    }
    o.reads(0, 12, None, 30.0);
}

#[test]
fn total_is_in_the_configuration_and_the_counter_has_none() {
    out()
        .line("Namespace(lr=0.001, max_steps=8000, warmup_steps=100, save_steps=500, eval_steps=250)")
        .each((10..=700).step_by(10), 4.0, |n, _| format!("| step {n:6} | loss 2.1 | lr 1e-3 |"))
        .reads(0, 700, Some(8000), 0.4);
}

#[test]
fn micro_batches_and_steps_in_one_line() {
    out().each(1..=160, 0.5, |n, _| format!("micro_step {n} global_step {} loss 1.0", n / 8)).reads(0, 20, None, 4.0);
}

#[test]
fn rich_bars_without_colour() {
    let mut o = out();
    for n in 0..=200u64 {
        let s = n as f64 * 0.9;
        o.wait(0.9).raw(&format!(
            "\r\x1b[2KTraining ━━━━╸━━━━ {n}/5000 • 0:{:02}:{:02} • 1:10:00 • loss 1.2",
            (s as u64) / 60,
            (s as u64) % 60
        ));
    }
    o.reads(0, 200, Some(5000), 0.9);
}

#[test]
fn steps_in_thousands_of_a_bar() {
    let mut o = out();
    for n in (0..=20_000u64).step_by(100) {
        o.wait(2.0).raw(&format!(
            "\r{:3}%|█  | {:.1}k/100k [{}<1:00:00, 50.0it/s, loss=1.2]",
            n / 1000,
            n as f64 / 1000.0,
            clock(n as f64 * 0.02)
        ));
    }
    o.reads(0, 20_000, Some(100_000), 0.02);
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
fn tables_of_names_and_numbers_between_bars() {
    let mut o = out();
    for n in 1..=12 {
        o.wait(15.0)
            .line("-----------------------------")
            .line("| time/              |      |")
            .line(&format!("|    fps             | {} |", 1300 + n % 5))
            .line(&format!("|    iterations      | {n}    |"))
            .line(&format!("|    time_elapsed    | {}   |", n * 15))
            .line(&format!("|    total_timesteps | {} |", n * 2048));
    }
    o.reads(0, 12, None, 15.0);
}

#[test]
fn progress_in_its_and_thousands_of_its() {
    let mut o = out();
    for n in (0..900u64).step_by(3) {
        o.wait(1.5).line(&format!(
            "I0501 10:00:00 Progress on:train {n}it/10.0kit rate:2.0it/s remaining:1:20:10 elapsed:{} postfix:loss:5.1",
            clock(n as f64 * 0.5)
        ));
    }
    o.reads(0, 897, Some(10_000), 0.5);
}

#[test]
fn icefall_batches_with_frames() {
    let mut o = out();
    for e in 1..=2 {
        o.each((0..1000).step_by(50), 20.0, |n, s| format!("{},123 INFO [train.py:901] (0/4) Epoch {e}, batch {n}, loss[loss=0.51, over 12345.00 frames. ], tot_loss[loss=0.55, over 123456.78 frames. ], batch size: 70, lr: 4.9e-02, grad_scale: 1.0", day(s)));
        o.line(&format!("{},123 INFO [train.py:930] (0/4) Computing validation loss", day(o.now_s)));
    }
    let got = o.read().expect("steps");
    assert!((got.step_s.expect("pace") / 0.4 - 1.0).abs() < 0.03 && got.steps_total.is_none(), "{got:?}");
    assert!(got.steps_done.abs_diff(1950) <= 52, "{}", got.steps_done);
}

#[test]
fn paddle_in_brackets() {
    let mut o = out();
    for e in 1..=2 {
        o.each((0..500).step_by(10), 3.5, |n, s| format!("[{}] ppcls INFO: [Train][Epoch {e}/120][Iter: {n}/500]lr(Momentum): 0.1, loss: 6.9, batch_cost: 0.35000s, ips: 182.0 samples/s, eta: 5:50:00", day(s)));
        o.each((0..50).step_by(10), 1.0, |n, s| {
            format!("[{}] ppcls INFO: [Eval][Epoch {e}][Iter: {n}/50]loss: 6.8, batch_cost: 0.1s", day(s))
        });
    }
    o.reads(0, 991, Some(60_000), 0.35);
}

#[test]
fn object_detection_with_per_step_time() {
    out()
        .each((100..=3000).step_by(100), 56.7, |n, _| {
            format!("I0101 10:00:00.000000 140 model_lib_v2.py:705] Step {n} per-step time 0.567s loss=0.812")
        })
        .reads(0, 3000, None, 0.567);
}

#[test]
fn the_outer_bar_with_dots() {
    let mut o = out();
    o.raw("\rEpoch ... (1/3):   0%|          | 0/3 [00:00<?, ?it/s]\n");
    for e in 0..2 {
        for n in 0..=100 {
            o.wait(0.6).raw(&bar("Training...: ", n, 100, n as f64 * 0.6, 0.6));
        }
        o.line("");
        for n in 0..=10 {
            o.wait(0.2).raw(&bar("Evaluating ...: ", n, 10, n as f64 * 0.2, 0.2));
        }
        o.line("").raw(&format!("\rEpoch ... ({}/3):  33%|███       | {}/3 [01:00<02:00, 60.0s/it]\n", e + 1, e + 1));
    }
    o.reads(0, 200, Some(300), 0.6);
}

#[test]
fn json_of_a_fraction_of_updates_and_quoted_numbers() {
    out().each((100..=2500).step_by(100), 30.0, |n, s| format!("{} | INFO | train_inner | {{\"epoch\": 1, \"update\": {:.3}, \"loss\": \"9.1\", \"ups\": \"3.33\", \"num_updates\": \"{n}\", \"lr\": \"1e-05\", \"wall\": \"{s:.0}\"}}", day(s), n as f64 / 8000.0))
        .reads(0, 2500, None, 0.3);
}

#[test]
fn current_and_total_steps_in_json() {
    out().each((10..=400).step_by(10), 8.0, |n, s| format!("{{\"current_steps\": {n}, \"total_steps\": 3000, \"loss\": 1.1, \"epoch\": 0.4, \"percentage\": 3.3, \"elapsed_time\": \"{}\", \"remaining_time\": \"0:40:00\"}}", clock(s)))
        .reads(0, 400, Some(3000), 0.8);
}

#[test]
fn fractions_of_epochs_are_steps_where_the_head_tells_the_total() {
    out()
        .line("***** Running training *****")
        .line("  Num Epochs = 3")
        .line("  Total optimization steps = 1,200")
        .each((10..=300).step_by(10), 5.0, |n, _| {
            format!("{{'loss': 1.3, 'learning_rate': 2e-05, 'epoch': {:.3}}}", n as f64 / 400.0)
        })
        .reads(0, 300, Some(1200), 0.5);
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
fn blocks_with_a_time_below_the_counter() {
    let mut o = out();
    for n in 1..=15 {
        o.wait(6.2)
            .line(&format!("--- iteration {n} of 600 ---"))
            .line("  policy loss   0.012")
            .line("  value loss    0.51")
            .line("  time          6.200 s")
            .line(&format!("  eta           {} s", (600 - n) * 6));
    }
    o.reads(0, 15, Some(600), 6.2);
}

#[test]
fn containers_wrap_lines_into_objects_with_a_time_behind() {
    out().each((10..=400).step_by(10), 5.0, |n, s| format!("{{\"log\":\"step {n}/4000 loss 1.2\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-01T{:0>8}.123456789Z\"}}", clock(s + 36000.0)))
        .reads(0, 400, Some(4000), 0.5);
    out()
        .each((10..=400).step_by(10), 5.0, |n, s| {
            format!("{{\"step\": {n}, \"time\": \"{}\", \"loss\": 1.25}}", day(s))
        })
        .reads(0, 400, None, 0.5);
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
fn boosting_rounds_in_front() {
    out()
        .each(0..200, 0.4, |n, _| format!("[{n}]\ttrain-logloss:0.51234\teval-logloss:0.53211"))
        .reads(0, 200, None, 0.4);
    out()
        .each(0..200, 0.4, |n, _| format!("{n}:\tlearn: 0.5123456\ttotal: {}ms\tremaining: 10s", n * 400))
        .reads(0, 200, None, 0.4);
}

#[test]
fn catalyst_with_the_epoch_in_front_of_the_bar() {
    let mut o = out();
    for e in 1..=2 {
        for n in 0..=80 {
            o.wait(0.5).raw(&bar(&format!("{e}/5 * Epoch (train): "), n, 80, n as f64 * 0.5, 0.5));
        }
        for n in 0..=10 {
            o.wait(0.2).raw(&bar(&format!("{e}/5 * Epoch (valid): "), n, 10, n as f64 * 0.2, 0.2));
        }
    }
    o.reads(0, 160, Some(400), 0.5);
}

#[test]
fn a_bar_with_of_and_elapsed_in_words() {
    let mut o = out();
    for n in (0..=600u64).step_by(5) {
        o.wait(2.0).raw(&format!(
            "\r{}% ({n} of 2000) |####     | Elapsed Time: 0:{:02}:{:02} ETA:   0:10:00",
            n / 20,
            n * 2 / 5 / 60,
            n * 2 / 5 % 60
        ));
    }
    o.reads(0, 600, Some(2000), 0.4);
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
