//! When a GPU is warm: its step time, temperature and clock have stopped moving.

use crate::stats::drift;
use crate::units::Seconds;

/// How a device is warmed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::measure) struct WarmUp {
    /// A block of steps lasts at least this long.
    pub(super) block: Seconds,
    /// Load that it is given before its readings are believed.
    pub(super) least: Seconds,
    /// It is not longer.
    pub(in crate::measure) most: Seconds,
}

impl WarmUp {
    /// Of a cold card: eight H100 read 11 % low in their first ten seconds, and are within 1 % from 30 s on (MLPerf
    /// Training 4.0, power submissions); no load is longer than the 200 s that Yang, Adamek and Armour, SC24, give a card.
    pub(in crate::measure) const COLD: Self = Self { block: Seconds(5.0), least: Seconds(30.0), most: Seconds(200.0) };
    /// Of a card that has just been at work: the step time alone has to settle.
    pub(in crate::measure) const WARM: Self = Self { block: Seconds(0.5), least: Seconds(0.0), most: Seconds(30.0) };
}

/// Blocks that have to agree, and how closely. A card at its power limit never comes to rest: an H200 at its 700 W took 65 s
/// until three blocks of 5 s were within 1 % by chance.
const BLOCKS: usize = 3;
const SPREAD: f64 = 0.02;
/// Degrees in ten seconds at which a card counts as warm.
const DEGREES_IN_10_S: f64 = 0.5;
/// The part of itself by which a steady clock still moves. At its power limit a card moves its clock without end, to keep its
/// power where it is: an H100 at its 700 W by 100 MHz from one block to the next, with steps that took the same time, so that
/// 85 s went by until three blocks were within this by chance. There the clock says nothing.
const CLOCK_SPREAD: f64 = 0.03;

/// What was seen in a block of warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Block {
    /// Mean time of a step.
    pub(super) step_s: f64,
    /// How long the block took.
    pub(super) lasted_s: f64,
    /// Temperature at its end.
    pub(super) temperature_c: Option<u32>,
    /// Clock at its end.
    pub(super) sm_clock_mhz: Option<u32>,
    /// Whether the power limit held the clock down then.
    pub(super) at_power_limit: bool,
}

/// Whether the last blocks say that the device is warm. What the driver does not tell does not count.
pub(super) fn is_steady(blocks: &[Block], warm_up: WarmUp) -> bool {
    let total: f64 = blocks.iter().map(|b| b.lasted_s).sum();
    let Some(last) = blocks.len().checked_sub(BLOCKS).map(|from| &blocks[from..]) else { return false };
    let times: Vec<f64> = last.iter().map(|b| b.step_s).collect();
    let even = drift(&times).is_some_and(|d| d.spread < SPREAD && !d.significant);
    let between: f64 = last[1..].iter().map(|b| b.lasted_s).sum();
    let warm = match (last[0].temperature_c, last[BLOCKS - 1].temperature_c) {
        (Some(first), Some(end)) => f64::from(end.abs_diff(first)) <= (DEGREES_IN_10_S * between / 10.0).max(1.0),
        _ => true,
    };
    let clocks = last.iter().filter_map(|b| b.sm_clock_mhz);
    let settled = clocks
        .clone()
        .max()
        .zip(clocks.min())
        .is_none_or(|(high, low)| f64::from(high - low) <= CLOCK_SPREAD * f64::from(high));
    let capped = last.iter().all(|b| b.at_power_limit);
    total >= warm_up.least.0 && even && warm && (settled || capped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(times: [f64; 7], temperatures: [u32; 7], clock: u32) -> Vec<Block> {
        let block = |(step_s, degrees)| Block {
            step_s,
            lasted_s: 5.0,
            temperature_c: Some(degrees),
            sm_clock_mhz: Some(clock),
            at_power_limit: false,
        };
        times.into_iter().zip(temperatures).map(block).collect()
    }

    const WARMING: [u32; 7] = [40, 50, 56, 60, 62, 62, 63];

    #[test]
    fn a_card_is_warm_after_30_seconds_if_step_time_and_temperature_stand_still() {
        let steady = blocks([0.11, 0.105, 0.1, 0.1, 0.1, 0.1003, 0.0999], WARMING, 1410);
        assert!(is_steady(&steady, WarmUp::COLD));
        assert!(!is_steady(&steady[..5], WarmUp::COLD), "too early");
    }

    #[test]
    fn drifting_steps_rising_heat_and_a_moving_clock_are_not_steady() {
        assert!(!is_steady(&blocks([0.1, 0.1, 0.1, 0.1, 0.1, 0.101, 0.102], WARMING, 1410), WarmUp::COLD));
        assert!(!is_steady(&blocks([0.1; 7], [40, 44, 48, 52, 56, 60, 64], 1410), WarmUp::COLD));
        let mut moving = blocks([0.1, 0.1, 0.1, 0.1, 0.1, 0.1001, 0.1], WARMING, 1410);
        assert!(is_steady(&moving, WarmUp::COLD));
        moving[6].sm_clock_mhz = Some(1200);
        assert!(!is_steady(&moving, WarmUp::COLD));
        moving[6].sm_clock_mhz = Some(1380);
        assert!(is_steady(&moving, WarmUp::COLD), "two steps down");
        for (block, clock) in moving.iter_mut().zip([1785, 1725, 1815, 1605, 1620, 1695, 1785]) {
            (block.sm_clock_mhz, block.at_power_limit) = (Some(clock), true);
        }
        assert!(is_steady(&moving, WarmUp::COLD), "at a power limit the clock says nothing");
    }

    #[test]
    fn what_the_driver_does_not_tell_does_not_keep_the_card_from_being_steady() {
        let mut blind = blocks([0.1, 0.1, 0.1, 0.1, 0.1, 0.1001, 0.1], WARMING, 1410);
        for block in &mut blind {
            (block.temperature_c, block.sm_clock_mhz) = (None, None);
        }
        assert!(is_steady(&blind, WarmUp::COLD));
    }
}
