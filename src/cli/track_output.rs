//! Where `track` writes what a command came to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use greenformers::files::{ObjectAddress, Objects, append_row, has_header, read_head};
use greenformers::record::write_whole;
use greenformers::report::{CODECARBON_HEADER, CodecarbonRow, TrackedRun};

use super::common::is_account;

/// That the account can be written is found out before the command runs, and not after days of work.
fn try_to_write(folder: &Path, path: &Path) -> Result<()> {
    let into_folder = || tempfile::NamedTempFile::new_in(folder).map(drop);
    let over_file = || std::fs::OpenOptions::new().append(true).open(path).map(drop);
    let tried = into_folder().and_then(|()| if path.exists() { over_file() } else { Ok(()) });
    tried.with_context(|| format!("cannot write `{}`", path.display()))
}

/// Where the account goes: checked before the command runs.
pub(super) enum Destination {
    Json(PathBuf),
    Csv(PathBuf),
    /// In a bucket; where that fails in the end, in a file here whose name ends so.
    Object(Objects, String),
}

impl Destination {
    pub(super) fn open(path: &Path, force: bool) -> Result<Self> {
        if let Some(text) = path.to_str().filter(|text| ObjectAddress::is_meant(text)) {
            let address: ObjectAddress = text.parse()?;
            if path.extension().is_none_or(|e| e != "json") {
                bail!("`{text}` is no `.json`\nhint: `-o {}/run.json`", text.trim_end_matches('/'));
            }
            let objects = Objects::open(&address)?;
            objects.reserve(force)?;
            let name = address.key.rsplit('/').next().unwrap_or_default();
            return Ok(Self::Object(objects, format!("-{name}")));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!(
                "cannot write `{}`: there is no folder `{}`\nhint: `mkdir -p {}`",
                path.display(),
                folder.display(),
                folder.display()
            );
        }
        if path.is_dir() {
            bail!("cannot write `{}`: it is a folder\nhint: `-o {}/run.json`", path.display(), path.display());
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => {
                let is_empty = std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == 0);
                if !force && path.exists() && !is_empty && !is_account(path) {
                    bail!(
                        "`{}` is there and is no account of a command\nhint: give a new file, or `--force` to write over it",
                        path.display()
                    );
                }
                try_to_write(folder, path)?;
                Ok(Self::Json(path.to_owned()))
            }
            Some("csv") => {
                let fits =
                    !path.exists() || has_header(&read_head(path, CODECARBON_HEADER.len() + 2)?.0, CODECARBON_HEADER);
                if !fits {
                    bail!(
                        "`{}` has other columns than CodeCarbon's 3.3.0, so no row can be added\nhint: give a new file",
                        path.display()
                    );
                }
                try_to_write(folder, path)?;
                Ok(Self::Csv(path.to_owned()))
            }
            _ => bail!("`{}` is neither `.json` nor `.csv`\nhint: `-o run.json`", path.display()),
        }
    }

    /// Writes the file whole, or adds one whole row to it.
    pub(super) fn write(&self, run: &TrackedRun<'_>) -> Result<()> {
        match self {
            Self::Json(path) => {
                write_whole(path, run.json()?.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
            }
            Self::Object(objects, name) => {
                let text = run.json()?;
                let Err(error) = objects.put(text.as_bytes()) else { return Ok(()) };
                let error = super::with_causes(&error.into()).replace('\n', "; ");
                let kept = tempfile::Builder::new().prefix("").suffix(name).tempfile_in(".");
                let (mut file, path) = kept.and_then(|file| Ok(file.keep()?)).with_context(|| error.clone())?;
                std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| error.clone())?;
                super::say(format_args!("warning: {error}: the account is in `{}`", path.display()));
                Ok(())
            }
            Self::Csv(path) => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(CodecarbonRow::of(run).fields())?;
                let written = append_row(path, CODECARBON_HEADER, &writer.into_inner()?)
                    .with_context(|| format!("cannot write `{}`", path.display()))?;
                if written != *path {
                    // What became of the account of a long run is said however quiet the rest is.
                    super::say(format_args!(
                        "warning: `{}` cannot take the row any more, having got other columns or a writer that holds it: \
                         the row is in `{}`",
                        path.display(),
                        written.display()
                    ));
                }
                Ok(())
            }
        }
    }
}
