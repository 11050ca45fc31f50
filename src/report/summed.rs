//! A sum of accounts: for people, as rows, and for the text files that a node exporter of Prometheus reads.

use super::numbers::{interval, significant};
use super::table::TextTable;
use crate::stats::Interval;
use crate::total::{Sum, Total};

/// A table for people has no more rows.
const MOST_ROWS: usize = 30;

/// Columns of the rows of a sum.
pub const SUM_HEADER: [&str; 21] = [
    "level",
    "name",
    "host",
    "device",
    "id",
    "records",
    "energy_j",
    "energy_j_low",
    "energy_j_high",
    "it_energy_kwh",
    "it_energy_kwh_low",
    "it_energy_kwh_high",
    "operational_kgco2e",
    "operational_kgco2e_low",
    "operational_kgco2e_high",
    "cost_usd",
    "cost_usd_low",
    "cost_usd_high",
    "metered_s",
    "gap_s",
    "between_s",
];

fn shown(value: Option<Interval>, scale: f64) -> String {
    value.map_or_else(|| "-".to_owned(), |i| interval(i.scaled(scale)))
}

/// The totals of a sum by what they are of.
fn levels(sum: &Sum) -> [(&'static str, &[Total]); 3] {
    [("host", &sum.hosts), ("job", &sum.jobs), ("project", &sum.projects)]
}

/// The sum for people, in tables of this width.
#[must_use]
pub fn sum_text(sum: &Sum, width: usize) -> String {
    let total = &sum.total;
    let plural = if total.records == 1 { "" } else { "s" };
    let mut text = format!(
        "{} record{plural}: {} J metered, {} kWh at the wall, {} kgCO2e, {} USD\n",
        total.records,
        shown(total.energy_j, 1.0),
        shown(total.it_energy_kwh, 1.0),
        shown(total.operational_kgco2e, 1.0),
        shown(total.cost_usd, 1.0)
    );
    if sum.counted_once_j > 0.0 {
        text.push_str(&format!("{} J were in several records, and count once\n", significant(sum.counted_once_j)));
    }
    let mut table = TextTable::new(&["host", "device", "records", "energy J", "metered s", "gaps s", "between s"]);
    for device in sum.devices.iter().take(MOST_ROWS) {
        table.row(vec![
            device.host.clone().unwrap_or_else(|| "-".to_owned()),
            device.device.clone(),
            device.records.to_string(),
            shown(device.energy_j, 1.0),
            significant(device.metered_s),
            significant(device.gap_s),
            significant(device.between_s),
        ]);
    }
    text.push_str(&format!("\n{}{}", table.render(width), more(sum.devices.len())));
    for (level, totals) in levels(sum) {
        let mut table = TextTable::new(&[level, "records", "energy J", "kWh at the wall", "kgCO2e", "USD"]);
        for total in totals.iter().take(MOST_ROWS) {
            table.row(vec![
                total.name.clone().unwrap_or_else(|| "-".to_owned()),
                total.records.to_string(),
                shown(total.energy_j, 1.0),
                shown(total.it_energy_kwh, 1.0),
                shown(total.operational_kgco2e, 1.0),
                shown(total.cost_usd, 1.0),
            ]);
        }
        text.push_str(&format!("\n{}{}", table.render(width), more(totals.len())));
    }
    text
}

fn more(rows: usize) -> String {
    match rows.checked_sub(MOST_ROWS) {
        Some(more) if more > 0 => format!("and {more} more, which `--format csv` has\n"),
        _ => String::new(),
    }
}

/// The sum as rows below [`SUM_HEADER`]; what is not known is empty.
#[must_use]
pub fn sum_rows(sum: &Sum) -> Vec<Vec<String>> {
    let ends = |value: Option<Interval>| {
        let number = |of: fn(Interval) -> f64| value.map_or_else(String::new, |i| of(i).to_string());
        [number(|i| i.mid), number(|i| i.low), number(|i| i.high)]
    };
    let of_total = |level: &str, total: &Total| {
        let mut row = vec![level.to_owned(), total.name.clone().unwrap_or_default()];
        row.extend(["", "", ""].map(str::to_owned));
        row.push(total.records.to_string());
        for value in [total.energy_j, total.it_energy_kwh, total.operational_kgco2e, total.cost_usd] {
            row.extend(ends(value));
        }
        row.extend(["", "", ""].map(str::to_owned));
        row
    };
    let mut rows = vec![of_total("total", &sum.total)];
    for device in &sum.devices {
        let mut row = vec!["device".to_owned(), String::new(), device.host.clone().unwrap_or_default()];
        row.extend([device.device.clone(), device.id.clone().unwrap_or_default(), device.records.to_string()]);
        row.extend(ends(device.energy_j));
        row.extend(std::iter::repeat_n(String::new(), 9));
        row.extend([device.metered_s, device.gap_s, device.between_s].map(|s| s.to_string()));
        rows.push(row);
    }
    for (level, totals) in levels(sum) {
        rows.extend(totals.iter().map(|total| of_total(level, total)));
    }
    rows
}

/// A value between quotes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The sum in the text format of Prometheus: gauges, as a sum may fall when a record is taken away. What is not known is left
/// out.
#[must_use]
pub fn sum_prometheus(sum: &Sum) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, lines: Vec<(String, Option<Interval>)>| {
        text.push_str(&format!("# HELP greenformers_{name} {help}\n# TYPE greenformers_{name} gauge\n"));
        for (labels, value) in lines {
            let Some(Interval { mid, low, high }) = value else { continue };
            for (end, number) in [("mid", mid), ("low", low), ("high", high)] {
                text.push_str(&format!("greenformers_{name}{{{labels},end=\"{end}\"}} {number}\n"));
            }
        }
    };
    let of_device = |device: &crate::total::DeviceTotal| {
        format!(
            "host=\"{}\",device=\"{}\",id=\"{}\"",
            label(device.host.as_deref().unwrap_or_default()),
            label(&device.device),
            label(device.id.as_deref().unwrap_or_default())
        )
    };
    let devices = sum.devices.iter().map(|device| (of_device(device), device.energy_j)).collect();
    metric("device_energy_joules", "Energy of a device, each second once, with its 95 % interval", devices);
    for (level, totals) in levels(sum) {
        let lines = |of: fn(&Total) -> Option<Interval>| {
            let line = |total: &Total| {
                (format!("{level}=\"{}\"", label(total.name.as_deref().unwrap_or_default())), of(total))
            };
            totals.iter().map(line).collect()
        };
        metric(&format!("{level}_energy_joules"), "Energy of what was metered", lines(|t| t.energy_j));
        let at_wall = lines(|t| t.it_energy_kwh.map(|kwh| kwh.scaled(3.6e6)));
        metric(&format!("{level}_wall_energy_joules"), "Energy at the wall", at_wall);
        let emitted = lines(|t| t.operational_kgco2e);
        metric(&format!("{level}_co2e_kilograms"), "Emissions of the electricity", emitted);
        metric(&format!("{level}_cost_usd"), "Rent, or the electricity bill", lines(|t| t.cost_usd));
    }
    let name = "greenformers_device_gap_seconds";
    text.push_str(&format!("# HELP {name} Seconds in which a command ran and nobody metered\n# TYPE {name} gauge\n"));
    for device in &sum.devices {
        text.push_str(&format!("{name}{{{}}} {}\n", of_device(device), device.gap_s));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::total::DeviceTotal;

    fn sum() -> Sum {
        let total = |name: Option<&str>| Total {
            name: name.map(str::to_owned),
            records: 2,
            energy_j: Some(Interval { mid: 2.0, low: 1.0, high: 3.0 }),
            it_energy_kwh: Some(Interval::point(0.5)),
            operational_kgco2e: None,
            cost_usd: None,
        };
        Sum {
            total: total(None),
            devices: vec![DeviceTotal {
                host: Some("a".to_owned()),
                device: "cpu".to_owned(),
                id: None,
                records: 2,
                energy_j: None,
                metered_s: 0.0,
                gap_s: 7.5,
                between_s: 0.0,
            }],
            hosts: vec![total(Some("a"))],
            jobs: vec![total(Some("4711_3"))],
            projects: vec![total(Some("say \"hi\"\\\n"))],
            gaps: Vec::new(),
            counted_once_j: 0.0,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_text_for_prometheus_has_a_type_for_each_metric_and_no_line_for_what_is_not_known() {
        let text = sum_prometheus(&sum());
        for expected in [
            "# TYPE greenformers_job_energy_joules gauge\ngreenformers_job_energy_joules{job=\"4711_3\",end=\"mid\"} 2\n",
            "greenformers_job_wall_energy_joules{job=\"4711_3\",end=\"mid\"} 1800000\n",
            "{project=\"say \\\"hi\\\"\\\\\\n\",end=\"low\"} 1\n",
            "greenformers_device_gap_seconds{host=\"a\",device=\"cpu\",id=\"\"} 7.5\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("greenformers_job_cost_usd{") && !text.contains("device_energy_joules{"), "{text}");
        let names: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        for line in lines {
            let name = line.split('{').next().unwrap_or_default();
            assert!(names.contains(&format!("# TYPE {name} gauge").as_str()), "{line}");
        }
    }

    #[test]
    fn every_row_has_a_value_or_nothing_for_each_column() {
        let rows = sum_rows(&sum());
        assert!(rows.iter().all(|row| row.len() == SUM_HEADER.len()), "{rows:?}");
        assert_eq!(
            rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
            ["total", "device", "host", "job", "project"]
        );
        assert_eq!((rows[1][6].as_str(), rows[1][19].as_str(), rows[3][12].as_str()), ("", "7.5", ""));
    }
}
