//! A meter for tests: power as a function of time.

use std::time::Instant;

use super::{Meter, Reading, SensorError};
use crate::meter::{Coverage, EnergySource, MeterInfo};
use crate::units::{Seconds, Watts};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Power,
    Counter,
    Both(f64),
}

/// Reads a given power, or fails from a given reading on.
pub struct FakeMeter {
    info: MeterInfo,
    opened: Instant,
    power: fn(Seconds) -> Watts,
    kind: Kind,
    readings_left: usize,
    most: Option<Watts>,
}

impl FakeMeter {
    /// A meter of the power that `power` gives at a time since now.
    #[must_use]
    pub fn new(power: fn(Seconds) -> Watts) -> Self {
        let info = MeterInfo {
            source: EnergySource::Fake,
            domain: "fake".to_owned(),
            coverage: Coverage::CpuPackage,
            gain_uncertainty: 0.0,
            note: "made up, for tests".to_owned(),
        };
        Self { info, opened: Instant::now(), power, kind: Kind::Power, readings_left: usize::MAX, most: None }
    }

    /// The same power, read from an energy counter (for constant powers).
    #[must_use]
    pub fn counting(mut self) -> Self {
        self.kind = Kind::Counter;
        self
    }

    /// The same power, with a counter beside it that counts `counted` of each joule (0: it stands still).
    #[must_use]
    pub fn with_counter(mut self, counted: f64) -> Self {
        self.kind = Kind::Both(counted);
        self
    }

    /// Is not believed beyond `most`.
    #[must_use]
    pub fn at_most(mut self, most: Watts) -> Self {
        self.most = Some(most);
        self
    }

    /// Fails after `readings` readings.
    #[must_use]
    pub fn failing_after(mut self, readings: usize) -> Self {
        self.readings_left = readings;
        self
    }
}

impl Meter for FakeMeter {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    fn read(&mut self) -> Result<Reading, SensorError> {
        self.readings_left = self.readings_left.checked_sub(1).ok_or(SensorError::Fake)?;
        let time = Seconds(self.opened.elapsed().as_secs_f64());
        let power = (self.power)(time);
        Ok(match self.kind {
            Kind::Power => Reading::Instant(power),
            Kind::Counter => Reading::Cumulative(power * time),
            Kind::Both(counted) => Reading::Both(power * time * counted, power),
        })
    }

    fn most_power(&self) -> Option<Watts> {
        self.most
    }

    fn period(&self) -> Seconds {
        Seconds(0.01)
    }

    fn resolution(&self) -> Seconds {
        Seconds(0.0)
    }
}
