//! Bars that are drawn again and again.

use super::{bar, clock, out};

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
fn lightning_2_6_with_a_rich_bar_and_no_end_of_epochs() {
    // What Lightning 2.6 drew on a terminal with `max_steps=160` and 149 batches an epoch: the last epoch is cut off.
    let mut o = out();
    for (epoch, batches) in [(0, 149), (1, 11)] {
        for n in 0..=batches {
            let drawn = format!("\x1b[35m{}\x1b[0m\x1b[90m╺\x1b[0m\x1b[90m━━━━\x1b[0m", "━".repeat(n / 10));
            o.wait(if n == 0 { 0.0 } else { 0.25 }).raw(&format!(
                "\r\x1b[2KEpoch {epoch}/-2 {drawn} {n}/{batches} \x1b[2m0:00:{:02} • 0:00:{:02}\x1b[0m \x1b[2;4m4.00it/s\x1b[0m \
                 \x1b[3mloss: 2.520\x1b[0m",
                n / 4,
                (batches - n) / 4
            ));
            // A validation of 20 batches, under the bar that stands still and is drawn again: at 132 of 149, which is 129 + 3.
            for v in (0..=20).filter(|_| (epoch, n) == (0, 132)) {
                o.wait(0.1).raw(&format!("\nValidation {drawn} {v}/20 0:00:01 • 0:00:01 10.00it/s\x1b[1A"));
                o.raw(&format!("\r\x1b[2KEpoch 0/-2 {drawn} {n}/{batches} 0:00:33 • 0:00:04 4.00it/s loss: 2.520"));
            }
        }
        if epoch == 0 {
            o.reads(0, 149, None, 0.25);
        }
    }
    o.reads(0, 160, Some(160), 0.25);
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
fn rich_bars_without_colour() {
    let mut o = out();
    for n in 0..=200u64 {
        let s = n as f64 * 0.9;
        o.wait(0.9).raw(&format!("\r\x1b[2KTraining ━━━━╸━━━━ {n}/5000 • 0:{} • 1:10:00 • loss 1.2", clock(s)));
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
