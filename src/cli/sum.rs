//! `sum`: adds the accounts of many hosts, processes and times.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use greenformers::files::{JSON_SCHEMA, ObjectAddress, Objects, read_text, write_whole};
use greenformers::record::MAX_ACCOUNT_BYTES;
use greenformers::report::{SUM_HEADER, sum_prometheus, sum_rows, sum_text};
use greenformers::total::{Sum, Summand, read, sum};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;

use super::Context;
use super::common::{print, warnings_text, width};
use super::progress::Counter;

/// No more files that were not read are listed on a screen.
const MOST_LISTED: usize = 20;

/// How the sum is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    Text,
    /// JSON, data alone
    Json,
    /// CSV, data alone
    Csv,
    /// The text format of Prometheus, for the textfile collector of a node exporter
    Prometheus,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file that cannot be read is listed with its reason, and the rest is added. Exit code: 0 if something was added.

Examples:
  greenformers sum run.json other.json
  greenformers sum records/                                   all `*.json` below a folder
  greenformers sum records/ --format prometheus -o greenformers.prom
  greenformers sum records/ --strict --format csv             fails if a file cannot be read
  greenformers sum s3://lab/runs --mirror runs                fetches what is new into `runs`, and adds all (built with `--features s3`)"
)]
pub(super) struct Args {
    /// What `track -o` or `forecast -o` wrote: files, folders with such files, or `s3://BUCKET/PREFIX`
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Keep what is fetched from `s3://` here, and fetch only what is new the next time [default: nothing is kept]
    #[arg(long, value_name = "FOLDER")]
    mirror: Option<PathBuf>,
    /// How the sum is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the sum into a file, which is always whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail if any file cannot be read
    #[arg(long)]
    strict: bool,
}

/// A file from which nothing was added.
#[derive(Serialize)]
struct Unread {
    file: String,
    reason: String,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    not_read: &'a [Unread],
    /// Files that are the same as another, byte for byte.
    copies: &'a [String],
    #[serde(flatten)]
    sum: &'a Sum,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let is_address = |path: &PathBuf| path.to_str().is_some_and(ObjectAddress::is_meant);
    if args.mirror.is_some() && !args.records.iter().any(is_address) {
        bail!("`--mirror` keeps what comes from `s3://BUCKET/PREFIX`, and no such record is named\nhint: leave it out");
    }
    let mut not_read = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    // Keeps what is fetched until it is read.
    let mut fetched: Vec<Fetched> = Vec::new();
    for path in &args.records {
        let before = files.len();
        let address = path.to_str().filter(|text| ObjectAddress::is_meant(text));
        if let Some(address) = address {
            fetched.push(Fetched::from(&address.parse()?, args.mirror.as_deref(), &mut files, &mut not_read, context)?);
        } else {
            gather(path, &mut files, &mut not_read);
        }
        if (address.is_some() || path.is_dir()) && files.len() == before {
            not_read.push(Unread { file: path.display().to_string(), reason: "no `*.json` is in it".to_owned() });
        }
    }
    let name = |file: &Path| {
        let address = fetched.iter().find_map(|fetched| fetched.address_of(file));
        address.unwrap_or_else(|| file.display().to_string())
    };
    if args.records.len() > 1 {
        // A folder and a file of it may both be named.
        let mut named = BTreeSet::new();
        files.retain(|file| named.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    }
    let found: Vec<Result<(Summand, u64), String>> = files.par_iter().map(|file| account(file)).collect();
    let (mut summands, mut copies, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (file, found) in files.iter().zip(found) {
        match found {
            Ok((_, hash)) if !seen.insert(hash) => copies.push(name(file)),
            Ok((summand, _)) => summands.push(summand),
            Err(reason) => not_read.push(Unread { file: name(file), reason }),
        }
    }
    for unread in not_read.iter().take(MOST_LISTED) {
        super::say(format_args!("warning: `{}` is not added: {}", unread.file, unread.reason));
    }
    if not_read.len() > MOST_LISTED {
        let more = not_read.len() - MOST_LISTED;
        super::say(format_args!("warning: {more} more files are not added (`--format json` lists all)"));
    }
    if summands.is_empty() {
        bail!("nothing can be added: expected what `track -o FILE.json` or `forecast -o FILE.json` wrote");
    }
    if args.strict && !not_read.is_empty() {
        bail!("{} of {} files cannot be added\nhint: without `--strict` the rest is", not_read.len(), files.len());
    }
    if !copies.is_empty() {
        context.note(format_args!("{} files are copies of others, and count once", copies.len()));
    }
    let sum = sum(&summands);
    let text = written(&sum, args.format, &not_read, &copies)?;
    match &args.output {
        Some(path) => write_whole(path, text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display())),
        None => print(&text),
    }
}

/// What came from a bucket: its folder, which goes with this unless it was asked for.
struct Fetched {
    bucket: String,
    folder: PathBuf,
    _gone: Option<tempfile::TempDir>,
}

impl Fetched {
    fn from(
        address: &ObjectAddress,
        mirror: Option<&Path>,
        files: &mut Vec<PathBuf>,
        not_read: &mut Vec<Unread>,
        context: &Context,
    ) -> Result<Self> {
        let objects = Objects::open(address)?;
        let temporary = if mirror.is_none() { Some(tempfile::tempdir()?) } else { None };
        let within = temporary.as_ref().map(tempfile::TempDir::path).or(mirror).unwrap_or(Path::new("."));
        let folder = within.join(&address.bucket);
        let counter = Counter::new(context.quiet, "records fetched");
        let mirrored = objects.mirror(".json", &folder, MAX_ACCOUNT_BYTES, |done, of| counter.set(done, of))?;
        if let Some(mirror) = mirror {
            let (fetched, all) = (mirrored.fetched, mirrored.files.len());
            context.note(format_args!("{fetched} of {all} records were fetched into `{}`", mirror.display()));
        }
        not_read.extend(
            mirrored
                .left
                .into_iter()
                .map(|(key, reason)| Unread { file: format!("s3://{}/{key}", address.bucket), reason }),
        );
        files.extend(mirrored.files);
        Ok(Self { bucket: address.bucket.clone(), folder, _gone: temporary })
    }

    /// Where a file came from.
    fn address_of(&self, file: &Path) -> Option<String> {
        let key = file.strip_prefix(&self.folder).ok()?;
        Some(format!("s3://{}/{}", self.bucket, key.display()))
    }
}

/// The files that a path means: itself, or what is below it that may be an account by its name.
fn gather(path: &Path, files: &mut Vec<PathBuf>, not_read: &mut Vec<Unread>) {
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            not_read.push(Unread { file: path.display().to_string(), reason: error.to_string() });
            return;
        }
    };
    let mut below: Vec<(PathBuf, bool)> = Vec::new();
    for entry in entries.flatten() {
        // A link to a folder may lead back to one that it is in, and is no folder here.
        below.push((entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
    }
    below.sort();
    for (path, is_folder) in below {
        if is_folder {
            gather(&path, files, not_read);
        } else if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
}

/// The account in a file, and a number that is its text's.
fn account(file: &Path) -> Result<(Summand, u64), String> {
    let text =
        read_text(file, MAX_ACCOUNT_BYTES).map_err(|error| super::with_causes(&error.into()).replace('\n', "; "))?;
    let seconds =
        |time: &str| Some(chrono::DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis() as f64 / 1000.0);
    let summand = read(&text, seconds).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Ok((summand, hasher.finish()))
}

fn written(sum: &Sum, format: Format, not_read: &[Unread], copies: &[String]) -> Result<String> {
    if matches!(format, Format::Csv | Format::Prometheus) {
        for warning in &sum.warnings {
            super::say(format_args!("warning: {warning}"));
        }
    }
    Ok(match format {
        Format::Text => sum_text(sum, width()) + &warnings_text(&sum.warnings),
        Format::Json => serde_json::to_string_pretty(&Output { schema: JSON_SCHEMA, not_read, copies, sum })? + "\n",
        Format::Prometheus => sum_prometheus(sum),
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(SUM_HEADER)?;
            for row in sum_rows(sum) {
                writer.write_record(row)?;
            }
            String::from_utf8(writer.into_inner()?)?
        }
    })
}
