//! Records in object storage, against a server on this machine that speaks S3: `moto_server`, of the Python package `moto[server]`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::reliability::{cannot, program, text};

/// What must not be said or written.
const SECRET: &str = "a-secret-that-is-nowhere";

/// A server with the bucket `lab`, which is gone when it is dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// `None` where there is none.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = std::env::var("MOTO_SERVER").unwrap_or_else(|_| "moto_server".to_owned());
        let mut command = Command::new(name);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            cannot("records in object storage", "there is no `moto_server` (Python's `moto[server]`)");
            return None;
        };
        let server = Self { process, port };
        let began = Instant::now();
        while server.ask("PUT", "/lab", b"").is_none() {
            assert!(began.elapsed() < Duration::from_mins(1), "the server does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(server)
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // The server looks at who asks, and not at the signature.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = text(&answer);
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    }

    fn run(&self, folder: &Path, args: &[&str]) -> Output {
        let mut program = program();
        program.args(args).current_dir(folder).env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        program.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1");
        let output = program.output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            assert!(!text(said).contains(SECRET));
        }
        output
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_account_goes_into_a_bucket_and_is_added_from_there() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for key in ["runs/a.json", "runs/2026/b.json"] {
        let output =
            server.run(folder.path(), &["track", "-o", &format!("s3://lab/{key}"), "--", "sh", "-c", "exit 3"]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let account = server.ask("GET", &format!("/lab/{key}"), b"").unwrap();
        assert!(account.contains("\"command\"") && !account.contains(SECRET), "{account}");
    }
    server.ask("PUT", "/lab/runs/other.json", b"{\"what\": 1}").unwrap();
    server.ask("PUT", "/lab/runs/notes.txt", b"no account").unwrap();
    server.ask("PUT", "/lab/elsewhere.json", b"{}").unwrap();
    let sum = |args: &[&str]| {
        let output = server.run(folder.path(), &[&["sum", "s3://lab/runs", "--format", "json"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), text(&output.stderr))
    };
    let (whole, _) = sum(&[]);
    let unread = whole["not_read"].as_array().unwrap();
    assert_eq!((unread.len(), &unread[0]["file"]), (1, &Value::from("s3://lab/runs/other.json")), "{whole}");
    assert_eq!(whole["total"]["records"], 2, "{whole}");
    // What is there is not fetched again, and what was cut short is.
    let (kept, said) = sum(&["--mirror", "mirror"]);
    assert!(said.contains("3 of 3 records were fetched into `mirror`"), "{said}");
    assert_eq!(kept, whole);
    std::fs::write(folder.path().join("mirror/lab/runs/2026/b.json"), "{").unwrap();
    let (again, said) = sum(&["--mirror", "mirror"]);
    assert!(said.contains("1 of 3 records were fetched into `mirror`"), "{said}");
    assert_eq!(again, whole);
    let one = server.run(folder.path(), &["sum", "s3://lab/runs/a.json"]);
    assert!(one.status.success(), "{}", text(&one.stderr));
}

#[test]
fn what_is_wrong_with_a_bucket_is_found_before_the_command_runs() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let track = |to: &str, more: &[&str]| {
        let args = [&["track", "-o", to], more, &["--", "sh", "-c", "touch ran"]].concat();
        let output = server.run(folder.path(), &args);
        let ran = std::fs::remove_file(folder.path().join("ran")).is_ok();
        (text(&output.stderr), ran)
    };
    assert!(track("s3://lab/a.json", &[]).1);
    for (to, said) in [
        ("s3://lab/a.json", "`s3://lab/a.json` is there\nhint: give a new key, or `--force`"),
        ("s3://lab/a.csv", "`s3://lab/a.csv` is no `.json`"),
        ("s3://lab", "`s3://lab` is no `.json`"),
        ("s3://Lab/a.json", "expected `s3://BUCKET/KEY`, got `s3://Lab/a.json`"),
        ("s3://nowhere/a.json", "cannot reach `s3://nowhere/a.json`"),
    ] {
        let (stderr, ran) = track(to, &[]);
        assert!(stderr.contains(said) && !ran, "{to}: {stderr}");
    }
    assert!(track("s3://lab/a.json", &["--force"]).1);
    let output = server.run(folder.path(), &["sum", "s3://lab/empty"]);
    assert!(
        text(&output.stderr).contains("`s3://lab/empty` is not added: no `*.json` is in it"),
        "{}",
        text(&output.stderr)
    );
    let mut without = program();
    without.args(["sum", "s3://lab/runs"]).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let stderr = text(&without.output().unwrap().stderr);
    assert!(stderr.contains("no credentials for `s3://lab/runs`: expected AWS_ACCESS_KEY_ID"), "{stderr}");
}

#[test]
fn an_account_that_the_bucket_does_not_take_in_the_end_is_kept_here() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    // The server goes while the command runs.
    let gone = format!("kill {}", server.process.id());
    let output = server.run(folder.path(), &["track", "-o", "s3://lab/run.json", "--", "sh", "-c", &gone]);
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.contains("cannot reach `s3://lab/run.json`"), "{stderr}");
    let name = stderr.split("the account is in `").nth(1).and_then(|rest| rest.split('`').next());
    let account = std::fs::read_to_string(folder.path().join(name.unwrap_or_else(|| panic!("{stderr}")))).unwrap();
    assert!(account.contains("\"command\""), "{account}");
}
