//! `completions`: for shells, with the names of the catalog.
//!
//! A shell asks the program itself at each press of the tab key, so that its answer is of the catalog that is used, `--catalog`
//! included, and never of an older program.

use std::ffi::{OsStr, OsString};

use anyhow::{Result, bail};
use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use greenformers::catalog::{Catalog, Device, EntryKind, GridEntry};
use greenformers::units::DType;

use super::Cli;
use super::common::print;

/// Tells the program that a shell asks it: a name that nothing else uses.
const ASKED_BY: &str = "GREENFORMERS_COMPLETE";
/// What bash runs.
const PROGRAM: &str = "greenformers";
/// Architectures, each with a usual parameter.
const ARCHS: [&str; 4] = ["dense", "lrt:rank=256", "linformer:k=128", "lora:rank=16,targets=qv"];
const SOFTWARE: [&str; 6] = ["eager", "compiled", "optimised", "unknown", "optimised/fused", "optimised/composed"];
const GOALS: [&str; 4] = ["time", "cost", "co2e", "energy"];
const LISTS: [&str; 7] = ["model=", "hardware=", "grid=", "dtype=", "devices=", "arch=", "software="];

/// Bash breaks words at `:` and `=`, which stand within `lrt:rank=256` and `--hardware=h100-sxm5`: they are joined again, and of
/// each answer the part that was there before the last break is left out.
const JOINED_IN_BASH: &str = r#"
_greenformers_joined() {
    local words=() word last=-1 cursor=0 open=0 before="" i
    for i in "${!COMP_WORDS[@]}"; do
        word=${COMP_WORDS[i]}
        if [[ $i == "$COMP_CWORD" && ! $word =~ ^[:=]+$ ]]; then word=$2; fi
        if ((last > 0)) && { ((open)) || [[ $word =~ ^[:=]+$ ]]; }; then
            if [[ $i == "$COMP_CWORD" ]]; then
                before=${words[last]}
                if [[ $word =~ ^[:=]+$ ]]; then before+=$word; fi
            fi
            words[last]+=$word
        else
            last=$((last + 1))
            words[last]=$word
        fi
        open=0
        if [[ $word =~ ^[:=]+$ ]]; then open=1; fi
        if [[ $i == "$COMP_CWORD" ]]; then cursor=$last; fi
    done
    COMP_WORDS=("${words[@]}")
    COMP_CWORD=$cursor
    _clap_complete_greenformers "$1" "${words[cursor]}" "$3"
    if [[ -n $before ]]; then COMPREPLY=("${COMPREPLY[@]#"$before"}"); fi
}
complete -o nospace -o bashdefault -F _greenformers_joined greenformers
"#;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers completions bash > ~/.local/share/bash-completion/completions/greenformers
  greenformers completions zsh > ~/.zfunc/_greenformers
  greenformers completions fish > ~/.config/fish/completions/greenformers.fish")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let shells = Shells::builtins();
    let name = args.shell.to_string();
    let Some(shell) = shells.completer(&name) else { bail!("`{name}`: no script is known for it") };
    let mut script = Vec::new();
    shell.write_registration(ASKED_BY, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    let mut script = String::from_utf8(script)?;
    if args.shell == Shell::Bash {
        script.push_str(JOINED_IN_BASH.trim_start());
    }
    print(&script)
}

/// Answers a shell that asks, and ends the program then.
pub(super) fn answer_shell() {
    CompleteEnv::with_factory(|| with_names(Cli::command())).var(ASKED_BY).complete();
}

/// The command line, in which each option that takes a name knows the names: found by what the option is called, so that a
/// command of tomorrow has them too.
fn with_names(command: Command) -> Command {
    command.mut_args(named).mut_subcommands(with_names)
}

fn named(arg: Arg) -> Arg {
    let entries = |kind| move |typed: &OsStr| or_files(among(ids(kind), typed), typed);
    let completer = match arg.get_id().as_str() {
        "hardware" => ArgValueCompleter::new(entries(EntryKind::Hardware)),
        "grid" => ArgValueCompleter::new(entries(EntryKind::Grid)),
        "site" => ArgValueCompleter::new(entries(EntryKind::Site)),
        "workload" | "named" => ArgValueCompleter::new(entries(EntryKind::Workload)),
        // A record is as likely as a workload.
        "what" => ArgValueCompleter::new(|typed: &OsStr| {
            let mut found = among(ids(EntryKind::Workload), typed);
            found.extend(PathCompleter::any().complete(typed));
            found
        }),
        "name" => ArgValueCompleter::new(|typed: &OsStr| among(entry_kind().map(ids).unwrap_or_default(), typed)),
        "cloud" => ArgValueCompleter::new(|typed: &OsStr| among(clouds(), typed)),
        "region" => ArgValueCompleter::new(|typed: &OsStr| among(regions(), typed)),
        "instance" => ArgValueCompleter::new(|typed: &OsStr| among(instances(), typed)),
        "dtype" | "dtypes" => ArgValueCompleter::new(|typed: &OsStr| among(dtypes(), typed)),
        "arch" | "archs" => ArgValueCompleter::new(|typed: &OsStr| among(owned(&ARCHS), typed)),
        "software" => ArgValueCompleter::new(|typed: &OsStr| among(owned(&SOFTWARE), typed)),
        "pareto" => ArgValueCompleter::new(|typed: &OsStr| among(owned(&GOALS), typed)),
        "basis" => ArgValueCompleter::new(|typed: &OsStr| among(owned(&["life-cycle", "direct"]), typed)),
        "sweep" => ArgValueCompleter::new(axes),
        _ if arg.get_action().takes_values() && takes_file(&arg) => ArgValueCompleter::new(PathCompleter::any()),
        _ => return arg,
    };
    arg.add(completer)
}

/// Whether the option says of its value that it is a file or a folder.
fn takes_file(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| ["FILE", "DIR", "RECORD", "CSV"].iter().any(|part| name.contains(part)))
}

fn among(names: Vec<String>, typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    names.into_iter().filter(|name| name.to_lowercase().starts_with(&typed)).map(CompletionCandidate::new).collect()
}

/// A file takes the place of a name, where no name begins as what was typed.
fn or_files(names: Vec<CompletionCandidate>, typed: &OsStr) -> Vec<CompletionCandidate> {
    if names.is_empty() { PathCompleter::any().complete(typed) } else { names }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What follows an option on the command line that is being typed.
fn typed_after(options: &[&str]) -> Option<OsString> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let joined = |word: &OsString| {
        let (option, value) = word.to_str()?.split_once('=')?;
        options.contains(&option).then(|| value.into())
    };
    let apart = |pair: &[OsString]| options.iter().any(|o| pair[0] == *o).then(|| pair[1].clone());
    words.windows(2).find_map(apart).or_else(|| words.iter().find_map(joined))
}

/// The catalog of the command line that is being typed.
fn catalog() -> Catalog {
    typed_after(&["--catalog"]).map_or_else(Catalog::default, |folder| Catalog::with_folder(folder.into()))
}

fn ids(kind: EntryKind) -> Vec<String> {
    catalog().ids(kind).unwrap_or_default()
}

fn dtypes() -> Vec<String> {
    DType::ALL.iter().map(|dtype| dtype.name().to_owned()).collect()
}

/// The kind whose entries `catalog show` is to show.
fn entry_kind() -> Option<EntryKind> {
    let kinds = [EntryKind::Hardware, EntryKind::Grid, EntryKind::Site, EntryKind::Workload];
    let kind = typed_after(&["show"])?;
    kinds.into_iter().find(|known| kind == known.name())
}

fn clouds() -> Vec<String> {
    let catalog = catalog();
    let of_regions = catalog.all::<GridEntry>().unwrap_or_default().into_iter().filter_map(|grid| grid.provider);
    let devices = catalog.all::<Device>().unwrap_or_default();
    let of_offers = devices.into_iter().flat_map(|device| device.prices).filter_map(|offer| offer.provider);
    in_order(of_regions.chain(of_offers).collect())
}

/// Regions of the cloud that was named, by its own names; of all clouds, by the ids of their grids.
fn regions() -> Vec<String> {
    let catalog = catalog();
    let cloud = typed_after(&["--cloud", "--provider"]).and_then(|name| catalog.provider(&name.to_string_lossy()).ok());
    let grids = catalog.all::<GridEntry>().unwrap_or_default();
    let of_cloud = grids.into_iter().filter_map(|grid| {
        let provider = grid.provider?;
        match &cloud {
            Some(cloud) if *cloud == provider => grid.id.strip_prefix(&format!("{cloud}-")).map(str::to_owned),
            Some(_) => None,
            None => Some(grid.id),
        }
    });
    in_order(of_cloud.collect())
}

fn instances() -> Vec<String> {
    let devices = catalog().all::<Device>().unwrap_or_default();
    in_order(devices.into_iter().flat_map(|device| device.prices).filter_map(|offer| offer.instance).collect())
}

fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// The values of the list of `--sweep` that is being typed, or the names of lists.
fn axes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let start = typed.rfind(',').map_or(0, |comma| comma + 1);
    let list = LISTS.iter().rev().filter_map(|list| Some((typed.rfind(list)?, *list))).max();
    let with = |from: usize, names: Vec<String>| {
        let (before, begun) = typed.split_at(from);
        among(names, OsStr::new(begun)).into_iter().map(|name| name.add_prefix(before)).collect::<Vec<_>>()
    };
    let lists = with(start, owned(&LISTS));
    let Some((at, list)) = list else { return lists };
    let values = match list {
        "model=" => ids(EntryKind::Workload),
        "hardware=" => ids(EntryKind::Hardware),
        "grid=" => ids(EntryKind::Grid),
        "dtype=" => dtypes(),
        "arch=" => owned(&ARCHS),
        "software=" => owned(&SOFTWARE),
        _ => Vec::new(),
    };
    let mut found = with(start.max(at + list.len()), values);
    found.extend(lists);
    found
}
