//! Until the step time has settled, and what a step costs before it is measured: queueing it.

use std::time::Instant;

use super::Runner;
use super::steady::{Block, WarmUp, is_steady};
use crate::measure::MeasureError;
use crate::record::{Launch, Warning};
use crate::sensor::GpuWatch;
use crate::stats::median;

/// Warm-up ends when a step takes at most this much less than the one before it.
const SETTLED: f64 = 0.05;
/// Least and most warm-up steps.
pub(in crate::measure) const WARMUP_STEPS: (usize, usize) = (2, 3);
/// What a first step costs beyond later ones is lost in one that takes so many seconds.
const LONG_STEP_S: f64 = 2.0;
/// Steps in which queueing is timed on a GPU.
pub(in crate::measure) const LAUNCHES: usize = 5;

impl Runner<'_> {
    pub(super) fn warm_up(&mut self) -> Result<(), MeasureError> {
        let mut last = f64::INFINITY;
        loop {
            let step = self.timed_step()?.total_s();
            self.cell.warmup_steps += 1;
            let settled = step >= last * (1.0 - SETTLED);
            if step > LONG_STEP_S
                || self.cell.warmup_steps >= WARMUP_STEPS.1
                || (self.cell.warmup_steps >= WARMUP_STEPS.0 && settled)
            {
                return Ok(());
            }
            last = step;
        }
    }

    /// Runs blocks of steps until time, temperature and clock of the device stand still.
    pub(super) fn warm_up_until_steady(&mut self, gpu: Option<&GpuWatch>, is_warm: bool) -> Result<(), MeasureError> {
        let warm_up = if is_warm { WarmUp::WARM } else { WarmUp::COLD };
        let began = Instant::now();
        let mut blocks: Vec<Block> = Vec::new();
        while !is_steady(&blocks, warm_up) && began.elapsed().as_secs_f64() < warm_up.most.0 {
            let first = self.cell.warmup_steps;
            self.device.synchronize()?;
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < warm_up.block.0 {
                self.timed_step()?;
                self.cell.warmup_steps += 1;
            }
            let lasted_s = start.elapsed().as_secs_f64();
            let state = gpu.map(GpuWatch::state).unwrap_or_default();
            blocks.push(Block {
                step_s: lasted_s / (self.cell.warmup_steps - first) as f64,
                lasted_s,
                temperature_c: state.temperature_c,
                sm_clock_mhz: state.sm_clock_mhz,
                at_power_limit: state.is_at_power_limit(),
            });
        }
        self.cell.warmup_s = Some(began.elapsed().as_secs_f64());
        if !is_steady(&blocks, warm_up) {
            self.cell.warnings.push(Warning::new(
                format!("the device was not steady after {:.0} s of warm-up", warm_up.most.0),
                "its step time or temperature still drifts, and with them the energy",
                "see to its cooling, or lock its clocks",
            ));
        }
        Ok(())
    }

    /// How long it takes to queue a step, and to compute it with a wait after each phase.
    pub(super) fn time_launches(&mut self) -> Result<Launch, MeasureError> {
        let (mut queued, mut computed) = (Vec::new(), Vec::new());
        for _ in 0..LAUNCHES {
            self.device.synchronize()?;
            let began = Instant::now();
            let (mut phase, mut enqueue_s) = (began, None);
            self.step(&mut |device| {
                // The first call is before the first phase: nothing has been queued.
                enqueue_s = Some(enqueue_s.map_or(0.0, |s: f64| s + phase.elapsed().as_secs_f64()));
                device.synchronize()?;
                phase = Instant::now();
                Ok(())
            })?;
            queued.extend(enqueue_s);
            computed.push(began.elapsed().as_secs_f64());
        }
        let of = |values: &[f64]| median(values).unwrap_or_default();
        Ok(Launch { steps: LAUNCHES, enqueue_s: of(&queued), synchronized_s: of(&computed) })
    }
}
