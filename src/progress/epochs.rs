//! Which of a frame's numbers is the epoch.

use super::frame::{Epoch, Form, Frame};
use super::tokens::{Token, last_word, phrase};

/// Finds the epoch among the counters, and leaves it out of them.
pub(super) fn epochs(text: &str, all: &[Token], frame: &mut Frame) {
    let pairs: Vec<usize> =
        (0..frame.counters.len()).filter(|&index| frame.counters[index].form == Form::Pair).collect();
    if let [first, second, ..] = pairs[..] {
        let brackets = text.contains("][");
        let (a, b) = (&frame.counters[first], &frame.counters[second]);
        if !a.epoch
            && a.named == 0
            && !b.epoch
            && (brackets
                || b.bar && text.trim_start().starts_with(|sign: char| sign.is_ascii_digit())
                || b.elapsed.is_some() && a.elapsed.is_none())
        {
            frame.counters[first].epoch = true;
        }
    }
    // `Epoch (1/3): 33%|###   | 1/3`: the bar tells the same again.
    if let Some((n, total)) =
        frame.counters.iter().find(|counter| counter.epoch).map(|counter| (counter.n, counter.total))
    {
        for counter in frame.counters.iter_mut().filter(|counter| counter.bar && counter.total == total) {
            counter.epoch |= counter.n.abs_diff(n) <= 1;
        }
    }
    if frame.counters.iter().any(|counter| counter.epoch) {
        let best = (0..frame.counters.len())
            .filter(|&at| frame.counters[at].epoch)
            .max_by_key(|&at| (frame.counters[at].total.is_some(), std::cmp::Reverse(at)));
        let before = best.is_some_and(|at| frame.counters[at..].iter().any(|counter| !counter.epoch));
        frame.epoch = best.map(|at| &frame.counters[at]).map(|counter| Epoch {
            n: counter.n,
            total: counter.total,
            before,
            bar: counter.bar && counter.elapsed.is_some(),
        });
        return;
    }
    let Some(&pair) = pairs.first() else { return };
    let n = frame.counters[pair].n;
    for (index, token) in all.iter().enumerate() {
        let Some(value) = token.int() else { continue };
        let rest = text[token.end..].trim_start();
        // `Train: 1 [ 250/740`: the number in front of a bracket with a pair.
        let word = last_word(phrase(text, token.start)).to_ascii_lowercase();
        if rest.starts_with('[') && matches!(word.as_str(), "train" | "training") {
            frame.epoch = Some(Epoch { n: value, total: None, before: true, bar: false });
            return;
        }
        // `1|95|Loss: ..`: the second number is the bar's own.
        if index == 0
            && rest.starts_with('|')
            && all.get(1).is_some_and(|next| next.int() == Some(n) && next.start == token.end + 1)
            && all.len() > 3
        {
            frame.epoch = Some(Epoch { n: value, total: None, before: true, bar: false });
            return;
        }
    }
}
