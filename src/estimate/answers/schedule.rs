//! When to start a run on a grid whose hours are known.

use serde::Serialize;

use crate::catalog::Hourly;

/// The best of the starts that are allowed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Hours after the first hour of the file.
    pub start_after_h: usize,
    /// The first hour of the file.
    pub first_hour: String,
    /// Starts that were compared.
    pub starts: usize,
    /// Mean intensity over the run from there.
    pub intensity_gco2e_per_kwh: f64,
    /// The same from the first hour.
    pub intensity_at_once_gco2e_per_kwh: f64,
    /// What waiting saves of the run's emissions: 0.1 is a tenth.
    pub saves: f64,
    /// What this cannot tell.
    pub limits: String,
}

/// The best start within `within_h` hours for a run of `hours`; the first hour if no waiting is allowed. `None` if the
/// file ends before a run that starts at once.
pub(super) fn schedule(hourly: &Hourly, within_h: usize, hours: f64) -> Option<Schedule> {
    let at_once = hourly.mean_over(0, hours)?;
    let starts: Vec<(usize, f64)> =
        (0..=within_h).map_while(|start| Some((start, hourly.mean_over(start, hours)?))).collect();
    let least = starts.iter().map(|(_, mean)| *mean).fold(f64::INFINITY, f64::min);
    // Of starts that are alike but for rounding, the earliest.
    let (start, best) = starts.iter().copied().find(|(_, mean)| *mean <= least + 1e-9 * least.abs())?;
    let cut_short = if starts.len() <= within_h {
        format!(
            " Only {} of {} starts were compared: the file ends too early for the others.",
            starts.len(),
            within_h + 1
        )
    } else {
        String::new()
    };
    Some(Schedule {
        start_after_h: start,
        first_hour: hourly.first().to_owned(),
        starts: starts.len(),
        intensity_gco2e_per_kwh: best,
        intensity_at_once_gco2e_per_kwh: at_once,
        saves: if at_once > 0.0 { 1.0 - best / at_once } else { 0.0 },
        limits: format!(
            "The hours of the file are taken to come again; a forecast would be off. The power is taken to be the same in \
             every hour, and averages do not say what the grid does with one more run. A run of {hours:.0} h spans \
             {:.1} days, so that its start matters little if that is many.{cut_short}",
            hours / 24.0
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hours_start_where_the_two_cleanest_lie_together() {
        let text = "time,intensity\n2026-03-01T00:00Z,100\n2026-03-01T01:00Z,300\n2026-03-01T02:00Z,50\n\
                    2026-03-01T03:00Z,90\n2026-03-01T04:00Z,80\n";
        let hourly = Hourly::parse("hours.csv", text).expect("valid");
        let best = schedule(&hourly, 3, 2.0).expect("long enough");
        assert_eq!((best.start_after_h, best.intensity_gco2e_per_kwh), (2, 70.0));
        assert_eq!(best.intensity_at_once_gco2e_per_kwh, 200.0);
        assert!((best.saves - 0.65).abs() < 1e-12);
        assert_eq!(schedule(&hourly, 0, 2.0).expect("long enough").start_after_h, 0);
        assert_eq!(schedule(&hourly, 1, 5.5), None);
    }

    #[test]
    fn of_starts_that_are_alike_but_for_rounding_the_earliest_is_taken() {
        // Three hours over and over: whenever three hours begin, they are these, added up in another order.
        let of_hour = [10.1, 70.7, 30.3];
        let mut text = "time,intensity\n".to_owned();
        for hour in 0..12 {
            text.push_str(&format!("2026-03-01T{hour:02}:00Z,{}\n", of_hour[hour % 3]));
        }
        let hourly = Hourly::parse("hours.csv", &text).expect("valid");
        let means: Vec<f64> = (0..9).filter_map(|start| hourly.mean_over(start, 3.0)).collect();
        assert!(means.iter().any(|m| *m != means[0]), "added up in these orders they differ: {means:?}");
        assert_eq!(schedule(&hourly, 8, 3.0).expect("long enough").start_after_h, 0);
    }
}
