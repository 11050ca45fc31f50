//! Tables for other programs: polars frames as CSV and Parquet, in full precision and fixed units.

use polars::prelude::{Column, CsvWriter, DataFrame, IntoColumn, NamedFrom, ParquetWriter, SerWriter, Series};

use crate::estimate::{Comparison, Estimate, Quantity};
use crate::record::CellSummary;
use crate::report::error::ReportError;
use crate::stats::Interval;

/// A row a cell.
///
/// # Errors
/// If the columns do not make a table.
pub fn cells_frame(cells: &[CellSummary]) -> Result<DataFrame, ReportError> {
    let mut columns = vec![
        text("arch", cells, |c| Some(c.arch.kind().to_owned())),
        text("spec", cells, |c| Some(c.arch.to_string())),
        count("rank", cells, |c| c.arch.rank().map(|r| r as u64)),
        count("k", cells, |c| c.arch.k().map(|k| k as u64)),
        count("seq_len", cells, |c| Some(c.seq_len as u64)),
        count("batch_size", cells, |c| Some(c.batch_size as u64)),
        count("n_layers", cells, |c| Some(c.n_layers as u64)),
        text("dtype", cells, |c| Some(c.dtype.name().to_owned())),
        text("pass", cells, |c| Some(c.pass.to_string())),
        text("device", cells, |c| Some(c.device.clone())),
        text("status", cells, |c| Some(c.status.name().to_owned())),
        count("n_params", cells, |c| Some(c.n_params)),
        number("flop_per_step", cells, |c| Some(c.flop_per_step)),
        count("n_steps", cells, |c| Some(c.n_steps as u64)),
    ];
    columns.extend(with_ends("step_s", cells, |c| c.step_s));
    columns.push(number("step_median_s", cells, |c| c.step_median_s));
    columns.extend(with_ends("forward_s", cells, |c| c.forward_s));
    columns.extend(with_ends("backward_s", cells, |c| c.backward_s));
    columns.extend(with_ends("optimizer_s", cells, |c| c.optimizer_s));
    columns.extend(with_ends("tokens_per_s", cells, |c| c.tokens_per_s));
    columns.extend(with_ends("energy_j_per_step", cells, |c| c.energy_j_per_step));
    columns.extend(with_ends("energy_above_idle_j_per_step", cells, |c| c.energy_above_idle_j_per_step));
    columns.push(number("energy_counter_j_per_step", cells, |c| c.energy_check.map(|e| e.counter_j_per_step)));
    columns.push(number("energy_integral_j_per_step", cells, |c| c.energy_check.map(|e| e.integral_j_per_step)));
    columns.extend(with_ends("power_w", cells, |c| c.power_w));
    columns.push(text("energy_source", cells, |c| c.energy_source.map(|s| s.name().to_owned())));
    columns.push(count("peak_memory_bytes", cells, |c| c.peak_memory_bytes));
    columns.extend(with_ends("mfu", cells, |c| c.mfu));
    columns.extend(with_ends("matmul_fraction", cells, |c| c.matmul_fraction));
    columns.push(number("launch_bound", cells, |c| c.launch_bound));
    Ok(DataFrame::new_infer_height(columns)?)
}

/// A row an estimate.
///
/// # Errors
/// If the columns do not make a table.
pub fn estimates_frame(estimates: &[Estimate]) -> Result<DataFrame, ReportError> {
    let mut columns = vec![
        text("arch", estimates, |e| e.arch.map(|a| a.kind().to_owned())),
        text("spec", estimates, |e| e.arch.map(|a| a.to_string())),
        text("workload", estimates, |e| e.workload.clone()),
        text("hardware", estimates, |e| e.hardware.clone()),
        count("devices", estimates, |e| Some(u64::from(e.devices))),
        text("dtype", estimates, |e| e.dtype.map(|d| d.name().to_owned())),
        text("basis", estimates, |e| Some(e.basis.name().to_owned())),
        count("n_params", estimates, |e| e.n_params),
        number("flop_total", estimates, |e| e.flop_total),
    ];
    columns.extend(with_ends("tokens_per_s", estimates, |e| e.tokens_per_s));
    columns.extend(with_ends("mfu", estimates, |e| e.mfu));
    for quantity in Quantity::ALL {
        columns.extend(with_ends(quantity.key(), estimates, |e| e.footprint.of(quantity)));
    }
    columns.push(count("memory_per_device_bytes", estimates, |e| e.memory_per_device_bytes));
    columns.extend(with_ends("wall_h_vs_dense", estimates, |e| e.ratio(Quantity::Wall)));
    Ok(DataFrame::new_infer_height(columns)?)
}

/// A row an architecture and length.
///
/// # Errors
/// If the columns do not make a table.
pub fn comparison_frame(comparison: &Comparison) -> Result<DataFrame, ReportError> {
    let rows: Vec<_> = comparison.lengths.iter().flat_map(|l| l.rows.iter().map(move |r| (l, r))).collect();
    let mut columns = vec![
        text("dtype", &rows, |(l, _)| Some(l.dtype.name().to_owned())),
        count("seq_len", &rows, |(l, _)| Some(l.seq_len as u64)),
        count("batch_size", &rows, |(l, _)| Some(l.batch_size as u64)),
        text("spec", &rows, |(_, r)| Some(r.arch.to_string())),
    ];
    columns.extend(with_ends("us_per_token", &rows, |(_, r)| Some(r.us_per_token)));
    columns.extend(with_ends("time_vs_dense", &rows, |(_, r)| r.time_vs_dense));
    columns.extend(with_ends("energy_vs_dense", &rows, |(_, r)| r.energy_vs_dense));
    columns.push(number("flop_vs_dense", &rows, |(_, r)| r.flop_vs_dense));
    columns.push(number("memory_vs_dense", &rows, |(_, r)| r.memory_vs_dense));
    let fastest: Vec<bool> = rows.iter().map(|(l, r)| l.winner == Some(r.arch)).collect();
    columns.push(Series::new("fastest".into(), fastest).into_column());
    Ok(DataFrame::new_infer_height(columns)?)
}

/// The table as CSV with a header.
///
/// # Errors
/// If polars cannot write it.
pub fn to_csv(frame: &mut DataFrame) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(frame)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The table as Parquet.
///
/// # Errors
/// If polars cannot write it.
pub fn to_parquet(frame: &mut DataFrame) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(frame)?;
    Ok(bytes)
}

pub(in crate::report) fn text<T>(name: &str, rows: &[T], of: impl Fn(&T) -> Option<String>) -> Column {
    Series::new(name.into(), rows.iter().map(of).collect::<Vec<_>>()).into_column()
}

pub(in crate::report) fn count<T>(name: &str, rows: &[T], of: impl Fn(&T) -> Option<u64>) -> Column {
    Series::new(name.into(), rows.iter().map(of).collect::<Vec<_>>()).into_column()
}

pub(in crate::report) fn number<T>(name: &str, rows: &[T], of: impl Fn(&T) -> Option<f64>) -> Column {
    Series::new(name.into(), rows.iter().map(of).collect::<Vec<_>>()).into_column()
}

/// Three columns: the middle under the name itself, and both ends.
pub(in crate::report) fn with_ends<T>(name: &str, rows: &[T], of: impl Fn(&T) -> Option<Interval>) -> [Column; 3] {
    [
        number(name, rows, |r| of(r).map(|i| i.mid)),
        number(&format!("{name}_low"), rows, |r| of(r).map(|i| i.low)),
        number(&format!("{name}_high"), rows, |r| of(r).map(|i| i.high)),
    ]
}
