//! A run that goes on as it has begun: what was accounted for, over the time that the whole takes.

use super::account::Account;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::stats::Interval;
use crate::units::Seconds;

/// What the whole run comes to, of which `account` covers the first `seen`: each quantity grows with the time.
///
/// The power of the rest is taken to be that of what was seen; its time is as uncertain as `whole_s` says.
#[must_use]
pub fn whole_run(account: &Account, seen: Seconds, whole_s: Interval) -> Footprint<Interval> {
    let ratio = whole_s.scaled(1.0 / seen.0);
    let mut whole = Footprint::default();
    for quantity in Quantity::ALL {
        let value = match quantity {
            Quantity::Wall => Some(whole_s.scaled(Seconds(1.0).hours())),
            // Of one machine, whatever is in it.
            Quantity::DeviceHours => None,
            other => account.footprint.of(other).map(|seen| seen.times(ratio)),
        };
        if let Some(value) = value.filter(|v| v.is_valid()) {
            whole.set(quantity, value);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::answers::account::{MeteredPart, account};
    use crate::estimate::request::conditions::ConditionsBuilder;
    use crate::meter::Coverage;

    #[test]
    fn ten_times_as_long_is_ten_times_as_much() {
        let builder = ConditionsBuilder { pue: Some(1.5), intensity: Some(400.0), ..ConditionsBuilder::default() };
        let conditions = builder.build().expect("valid");
        // 3.6 MJ at the wall in an hour are 1 kWh, 1.5 kWh of the building and 0.6 kg.
        let part = MeteredPart { energy_j: Interval::point(3.6e6), coverage: Coverage::NodeShare };
        let seen = account(&[part], Seconds(3600.0), 1.0, &conditions, 0);
        let whole_s = Interval { mid: 36_000.0, low: 30_000.0, high: 40_000.0 };
        let whole = whole_run(&seen, Seconds(3600.0), whole_s);
        let of = |quantity| whole.of(quantity).expect("known");
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
        assert!(close(of(Quantity::Wall).mid, 10.0));
        assert!(close(of(Quantity::FacilityEnergy).mid, 15.0), "{:?}", of(Quantity::FacilityEnergy));
        let co2e = of(Quantity::Operational);
        assert!(close(co2e.mid, 6.0) && close(co2e.low, 5.0) && close(co2e.high, 20.0 / 3.0), "{co2e:?}");
        assert_eq!(whole.of(Quantity::Cost), None);
    }
}
