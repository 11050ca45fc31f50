//! `quality`: what each architecture takes to an equal loss, by training it.

use anyhow::Result;
use greenformers::machine;
use greenformers::model::Arch;
use greenformers::report::{quality_place, quality_table, quality_text, trained_point, trained_start, write_quality};
use greenformers::train::pretrain::{End, Event, Machine};
use greenformers::train::quality::{Plan, QualityError, quality};
use greenformers::train::rank_of_share;
use greenformers::units::parse_whole_count;

use super::Context;
use super::common::{Format, paint, print, print_json, print_table, width};
use super::stopping::{self, quoted};
use super::train_common::{TrainingArgs, size};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers quality text.txt -o compared                               dense and lrt at half of the weights of the linears
  greenformers quality text.txt -o compared --arch dense --arch lrt:rank=64 --arch lrt:rank=128 --seeds 5
  greenformers quality books/ -o compared --init spectral --steps 2000
  greenformers quality text.txt -o compared --seeds 6 --resume            three more seeds, or what was interrupted

What it writes into DIR: quality.json, report.html, report.md, charts/, and runs/ARCH-SEED/ as `train` writes it. Every architecture is
trained by the same settings on the same batches; none of them has a learning rate of its own.")]
pub(super) struct Args {
    #[command(flatten)]
    training: TrainingArgs,
    /// Architectures, dense among them: dense | lrt:rank=64 | linformer:k=32 [default: dense, and lrt at half of the weights of the linears]
    #[arg(long, value_name = "SPEC")]
    arch: Vec<Arch>,
    /// Seeds of each architecture, from 0: intervals need two at least
    #[arg(long, value_name = "N", default_value = "3", value_parser = size(1, 1000))]
    seeds: u64,
    /// Steps of each training: 500 of 16 x 128 tokens are 1M tokens
    #[arg(long, value_name = "N", default_value = "500", value_parser = parse_whole_count)]
    steps: u64,
    /// Write every chart as PNG as well
    #[arg(long)]
    png: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = machine::machine_facts();
    let cpu = args.training.cpu(&facts, context)?;
    args.training.start_threads()?;
    let shared = args.training.request(Arch::Dense, End::default(), 0, context)?;
    let archs = if args.arch.is_empty() {
        let rank = rank_of_share(&shared.model()?, 0.5)?;
        context.note(format_args!(
            "compared: dense and lrt:rank={rank}, the largest rank with no more than half of the weights of the linears"
        ));
        vec![Arch::Dense, Arch::Lrt { rank }]
    } else {
        args.arch.clone()
    };
    let plan = Plan {
        archs,
        seeds: args.seeds,
        init: args.training.init,
        guided: args.training.guided,
        steps: args.steps,
        shared,
    };
    let machine = Machine { powercap: &args.training.powercap_root, facts: &facts, cpu: cpu.as_ref() };
    let found = quality(&plan, &machine, &mut |place, event| {
        let what = match event {
            Event::Begins(training) => trained_start(training),
            Event::Evaluated(point) => trained_point(point),
        };
        context.note(format_args!("{}: {what}", quality_place(place)));
    });
    let found = match found {
        Err(QualityError::Pretrain(error)) => stopping::trained(Err(error))?,
        other => other?,
    };
    let files = write_quality(&found, &args.training.output, args.png)?;
    if let Some(page) = files.first() {
        context.note(format_args!("report: {}", page.display()));
    }
    match args.format {
        Format::Json => print_json(&found),
        Format::Csv => print_table(&quality_table(&found), args.format, ""),
        Format::Text => {
            let [said, table, below] = quality_text(&found, width());
            let paint = paint();
            let next = format!("next:    {}\n", more_seeds(std::env::args().skip(1), 2 * args.seeds));
            print(&format!("{}\n\n{}\n{below}{next}", paint.strong(said.trim_end()), paint.table(&table, &[])))
        }
    }
}

/// The command that was typed, with more seeds, which goes on with what is there.
fn more_seeds(typed: impl Iterator<Item = String>, seeds: u64) -> String {
    let mut words = vec!["greenformers".to_owned()];
    let mut is_value = false;
    for word in typed {
        let is_own = word == "--resume" || word.starts_with("--seeds");
        if !is_own && !is_value {
            words.push(quoted(&word));
        }
        is_value = word == "--seeds";
    }
    words.extend(["--seeds".to_owned(), seeds.to_string(), "--resume".to_owned()]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_the_one_that_was_typed_with_more_seeds() {
        let next = |typed: &str| more_seeds(typed.split(' ').map(str::to_owned), 6);
        let expected = "greenformers quality a.txt -o out --seeds 6 --resume";
        for typed in
            ["quality a.txt -o out", "quality a.txt --seeds 3 -o out", "quality --seeds=3 a.txt --resume -o out"]
        {
            assert_eq!(next(typed), expected, "{typed}");
        }
        assert!(next("quality it's").contains("'it'\\''s'"));
    }
}
