//! Records and estimates as tables, charts, Markdown and HTML: pure functions to text or bytes, and one
//! that writes them all into a folder.

mod charts;
mod codecarbon;
mod error;
mod estimates;
mod figures;
mod folder;
mod html;
mod markdown;
mod numbers;
mod sweep;
mod tables;
mod text;
mod validation;

pub use charts::Chart;
pub use codecarbon::{CODECARBON_HEADER, CodecarbonRow};
pub use error::ReportError;
pub use estimates::{explanation_table, schedule_text, side_table, variance_table};
pub use figures::{Report, figures};
pub use folder::write_report;
pub use html::html;
pub use markdown::markdown;
pub use numbers::{human_hours, interval, percent_saved, significant};
pub use sweep::{sweep_frame, sweep_table};
pub use tables::{cells_frame, estimates_frame, to_csv, to_parquet};
pub use text::{TextTable, assumptions_table, claims_text, comparison_text, estimates_table, profile_table};
pub use validation::{
    Validation, published_frame, published_table, validation_frame, validation_markdown, validation_table,
};
