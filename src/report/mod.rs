//! Records and estimates as tables, charts, Markdown and HTML: pure functions to text or bytes, and one that writes them
//! all into a folder.
//!
//! | room | what it makes |
//! |---|---|
//! | `figures` | what a report shows, before it has a form: the answer, the charts as values |
//! | `charts` | a chart on paper, as SVG and PNG |
//! | `page` | one HTML file, and Markdown |
//! | `quality` | architectures that were trained to an equal loss |
//! | `sides` | several records side by side |
//! | `files` | tables and cards for other programs |
//! | `terminal` | the answer and its tables, for a terminal |
//! | `markup` | the one place where text becomes markup |

pub mod charts;
mod document;
mod error;
mod estimated;
mod factorization;
mod figures;
mod files;
mod forecast;
mod forecasted;
mod markup;
mod names;
mod numbers;
mod page;
mod quality;
mod sides;
mod summed;
mod table;
mod terminal;
mod tracked;
mod trained;
mod validation;

pub use charts::{Chart, Palette};
pub use error::ReportError;
pub use estimated::write_estimates;
pub use factorization::{
    factorization_table, factorized_table, factorized_text, sweep_sentences, tried_table, tried_text,
    write_factorization,
};
pub use figures::{Inputs, Market, Report, ZoneRun, figures, statement_of_past};
pub use files::{
    CODECARBON_HEADER, CodecarbonRow, NamedScenario, cells_frame, comparison_frame, estimates_frame, named_scenarios,
    sweep_frame, to_csv, to_parquet, write_report,
};
pub use forecast::write_forecast;
pub use forecasted::{ForecastOfRun, UNDERSTOOD, live_values};
pub use markup::Markup;
pub use names::TOOL;
pub use numbers::{counted, human_hours, interval, percent_saved, significant};
pub use page::{html, markdown};
pub use quality::{quality_place, quality_table, quality_text, write_quality};
pub use sides::{Side, Sides, side_by_side, write_sides};
pub use summed::{SUM_HEADER, sum_prometheus, sum_rows, sum_text};
pub use table::{TextTable, wrapped};
pub use terminal::{
    Paint, answer_table, assumed_and_next, assumptions_table, claims_text, comparison_sentence, comparison_text,
    crossovers_table, equal_loss_text, explanation_table, frontier_table, layout_text, plan_sentence, plan_table,
    profile_table, recommendation, schedule_text, sentence, short_answer, side_table, sweep_table, variance_table,
    verdict_of_machines,
};
pub use tracked::TrackedRun;
pub use trained::{trained_point, trained_start, trained_text};
pub use validation::{
    Validation, published_frame, published_text, validation_frame, validation_markdown, validation_text,
};
