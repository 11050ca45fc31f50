//! Lines, tables, blocks and objects.

use super::{clock, day, out};

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
            "I0501 10:{}.123456 140 train.py:500] train at step {n}: loss 3.2, 0.3 s per step",
            clock(s)
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
fn epochs_only_are_counted_as_epochs() {
    out().each(1..=12, 40.0, |n, _| format!("Epoch {n}/100, train loss: 0.51, val loss: 0.61, time: 40.0s")).reads(
        0,
        12,
        Some(100),
        40.0,
    );
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
            .line(&format!("  time_total_s: {:.3}", f64::from(n) * 30.0 + 0.123))
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
fn boosting_rounds_in_front() {
    out()
        .each(0..200, 0.4, |n, _| format!("[{n}]\ttrain-logloss:0.51234\teval-logloss:0.53211"))
        .reads(0, 200, None, 0.4);
    out()
        .each(0..200, 0.4, |n, _| format!("{n}:\tlearn: 0.5123456\ttotal: {}ms\tremaining: 10s", n * 400))
        .reads(0, 200, None, 0.4);
}
