//! Completion by the shells themselves: the script of each is sourced by it, and asked what it would offer at the tab key.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What `shell` prints of `script`, in which the program is on the path; nothing where there is no such shell.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn by(shell: &str, script: &str, folder: &Path) -> Option<String> {
    let program = assert_cmd::cargo::cargo_bin("greenformers");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let option = if shell == "bash" { "--norc" } else { "--no-rcs" };
    let mut command = Command::new(shell);
    if shell != "fish" {
        command.arg(option);
    }
    command.args(["-c", script]).env("PATH", path).env("HOME", folder).env_remove("XDG_CONFIG_HOME");
    let output = match command.current_dir(folder).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no {shell} on this machine");
            return None;
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{shell}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What bash offers after `words`, broken as bash breaks them, of which the last is being typed.
fn bash(words: &[&str], folder: &Path) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.last().copied().unwrap_or_default();
    // A break that is being typed on is an empty word to a completion.
    let typed = if last == "=" || last == ":" { "" } else { last };
    let script = format!(
        "source <(greenformers completions bash)
         COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9
         [[ $(complete -p greenformers) =~ -F\\ ([^ ]+) ]]
         \"${{BASH_REMATCH[1]}}\" greenformers '{typed}' ''
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    lines(&by("bash", &script, folder).unwrap())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_names_of_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let of = |line: &str| bash(&line.split(' ').collect::<Vec<_>>(), folder.path());
    let h100s = ["h100-pcie-80gb", "h100-sxm5-80gb"];
    let found = of("greenformers estimate --hardware h100");
    assert!(h100s.iter().all(|name| found.iter().any(|f| f == name)), "{found:?}");
    assert!(found.iter().all(|name| name.starts_with("h100")), "{found:?}");
    // After a comma, each name goes with those before it.
    let second = of("greenformers estimate --hardware t4-16gb,h100-sxm");
    assert_eq!(second, ["t4-16gb,h100-sxm5-80gb"]);
    assert_eq!(of("greenformers footprint --grid fra"), ["fra"]);
    assert_eq!(of("greenformers run bert-l"), ["bert-large"]);
    assert_eq!(of("greenformers estimate bert-l"), ["bert-large"]);
    assert_eq!(of("greenformers estimate --workload bert-l"), ["bert-large"]);
    assert_eq!(of("greenformers profile --dtype f32,b"), ["f32,bf16"]);
    assert_eq!(of("greenformers profile --arch lr"), ["lrt:rank=256"]);
    assert_eq!(of("greenformers estimate --cloud lam"), ["lambda"]);
    assert_eq!(of("greenformers estimate --cloud aws --region eu-west-1"), ["eu-west-1"]);
    assert_eq!(of("greenformers estimate --region aws-eu-west-1"), ["aws-eu-west-1"]);
    assert_eq!(of("greenformers estimate --instance p4d."), ["p4d.24xlarge"]);
    assert_eq!(of("greenformers catalog show site works"), ["workstation"]);
    assert!(of("greenformers estimate --hardware no-such-").is_empty());
    let options = of("greenformers estimate --hard");
    assert_eq!(options, ["--hardware"]);
}

#[test]
fn bash_breaks_words_at_signs_within_names_and_they_are_completed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let of = |words: &[&str]| bash(&[&["greenformers", "estimate"], words].concat(), folder.path());
    assert_eq!(of(&["--hardware", "=", "t4"]), ["t4-16gb"]);
    assert_eq!(of(&["--arch", "lrt", ":", "r"]), ["rank=256"]);
    assert_eq!(of(&["--arch", "lrt", ":", "rank", "="]), ["256"]);
    assert_eq!(of(&["--arch", "lrt", ":", "rank", "=", "64", "--grid", "pol"]), ["pol"]);
    assert_eq!(of(&["--sweep", "hardware", "=", "t4"]), ["t4-16gb"]);
    assert_eq!(of(&["--sweep", "hardware", "=", "t4-16gb,gr"]), ["t4-16gb,grid="]);
    assert_eq!(of(&["--sweep", "hardware", "=", "t4-16gb,grid", "=", "pol"]), ["pol"]);
}

#[test]
fn a_catalog_of_the_users_and_files_are_offered_too() {
    let folder = tempfile::tempdir().unwrap();
    let sites = folder.path().join("mine/profiles/site");
    fs::create_dir_all(&sites).unwrap();
    fs::write(sites.join("cellar.yaml"), "id: cellar\nname: Cellar\n").unwrap();
    fs::write(folder.path().join("zz-my-gpu.yaml"), "").unwrap();
    let of = |line: &str| bash(&line.split(' ').collect::<Vec<_>>(), folder.path());
    assert_eq!(of("greenformers --catalog mine estimate --site cel"), ["cellar"]);
    assert_eq!(of("greenformers estimate --hardware zz"), ["zz-my-gpu.yaml"]);
    assert_eq!(of("greenformers estimate --site cel"), Vec::<String>::new());
    assert_eq!(of("greenformers report min"), ["mine/"]);
}

#[test]
fn fish_and_zsh_offer_them_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = "greenformers completions fish | source; complete -C 'greenformers estimate --hardware h100-sxm'";
    if let Some(text) = by("fish", script, folder.path()) {
        assert_eq!(lines(&text), ["h100-sxm5-80gb"]);
    }
    // `_describe` shows a list by the name of its variable, which is the last argument.
    let script = "compdef() {}; _describe() { print -rl -- ${(P)@[-1]} }
        source <(greenformers completions zsh)
        words=(greenformers estimate --arch lrt:r) CURRENT=4
        _clap_dynamic_completer_greenformers
        words=(greenformers footprint --grid '') CURRENT=4
        _clap_dynamic_completer_greenformers";
    if let Some(text) = by("zsh", script, folder.path()) {
        let found = lines(&text);
        // A colon ends a name in a list of zsh, and has a sign before it.
        assert_eq!(found[0], r"lrt\:rank=256");
        assert!(["fra", "pol", "us-egrid-camx"].iter().all(|grid| found.iter().any(|f| f == grid)), "{found:?}");
    }
}

#[test]
fn the_program_answers_shells_only_by_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = assert_cmd::Command::cargo_bin("greenformers").unwrap();
    let output = program.arg("--version").env("COMPLETE", "1").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"greenformers "));
}
