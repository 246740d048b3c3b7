//! `millrace deploy --check` and `millrace describe` of definitions that refer to things elsewhere: a catalog on a real HTTP server,
//! and files.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

const HEAD: &str =
    "document: {dsl: '1.0.3', namespace: test, name: whole, version: '1.0.0'}\ntimeout: {after: PT1M}\n";

/// A server in a thread of its own. What it was asked is kept.
struct Elsewhere {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&asked);
        let app = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let authorization = request.headers().get(header::AUTHORIZATION).cloned();
            seen.lock().unwrap().push(path.clone());
            async move { answer(&path, authorization.as_ref().and_then(|it| it.to_str().ok())) }
        });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(path: &str, authorization: Option<&str>) -> Response {
    let redirect = |to: String| (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    match path {
        "/functions/log/1.0.0/function.yaml" => {
            "# as a catalog has it\ncall: write-log\ninput: {schema: {resource: {endpoint: 'file://input.json'}}}\n".into_response()
        }
        "/functions/log/1.0.0/input.json" => "{\"type\": \"object\"}".into_response(),
        "/closed/functions/log/1.0.0/function.yaml" if authorization == Some("Basic bWU6cHc=") => {
            "call: write-log\n".into_response()
        }
        "/closed/functions/log/1.0.0/function.yaml" => StatusCode::UNAUTHORIZED.into_response(),
        "/moved" => redirect("/functions/log/1.0.0/function.yaml".to_owned()),
        "/round" => redirect("/round".to_owned()),
        "/large" => "x".repeat(2 * 1024 * 1024).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn millrace(arguments: &[&str]) -> Output {
    // Nobody's proxy is between the command and this test.
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("MILLRACE_DEFAULT_CATALOG")
        .output()
        .unwrap()
}

/// Checks a definition in a folder of its own. The exit code, the document, stderr.
fn check(folder: &Path, body: &str, options: &[&str]) -> (i32, Value, String) {
    let file = folder.join("whole.yaml");
    std::fs::write(&file, format!("{HEAD}{body}")).unwrap();
    let mut arguments = vec!["deploy", "--check", "--output", "json", file.to_str().unwrap()];
    arguments.extend(options);
    let output = millrace(&arguments);
    let stderr = String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", folder.display()), "");
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

fn digest(document: &Value) -> String {
    document["deployed"][0]["digest"].as_str().unwrap_or_else(|| panic!("{document}")).to_owned()
}

#[test]
fn functions_of_a_catalog_are_fetched_with_what_is_beside_them() {
    let (elsewhere, folder) = (Elsewhere::start(), tempfile::tempdir().unwrap());
    let body = format!(
        "use: {{catalogs: {{ours: {{endpoint: 'http://{}/'}}}}}}\ndo: [{{a: {{call: 'log:1.0.0@ours'}}}}, {{b: {{call: 'log:1.0.0@ours'}}}}]\n",
        elsewhere.at
    );
    let (code, document, stderr) = check(folder.path(), &body, &[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{document}");
    assert_eq!(elsewhere.asked(), ["/functions/log/1.0.0/function.yaml", "/functions/log/1.0.0/input.json"]);
    let (_, again, _) = check(folder.path(), &body, &[]);
    assert_eq!(digest(&document), digest(&again), "what has not changed there is the same definition");
    let described = millrace(&["describe", folder.path().join("whole.yaml").to_str().unwrap()]);
    assert!(String::from_utf8(described.stdout).unwrap().contains("write-log"));
}

#[test]
fn a_function_that_changed_elsewhere_is_another_definition() {
    let folder = tempfile::tempdir().unwrap();
    let function = folder.path().join("functions/log/1.0.0");
    std::fs::create_dir_all(&function).unwrap();
    let body = "do: [{a: {call: 'log:1.0.0@default'}}]\n";
    let catalog = format!("file://{}", folder.path().display());
    let mut digests = Vec::new();
    for text in ["call: one", "call: two", "# the same\ncall: two"] {
        std::fs::write(function.join("function.yaml"), text).unwrap();
        let (code, document, _) = check(folder.path(), body, &["--offline", "--default-catalog", &catalog]);
        assert_eq!(code, 0, "{document}");
        digests.push(digest(&document));
    }
    assert_ne!(digests[0], digests[1]);
    assert_eq!(digests[1], digests[2]);
}

#[test]
fn redirects_are_followed_and_credentials_are_shown() {
    let (elsewhere, folder) = (Elsewhere::start(), tempfile::tempdir().unwrap());
    let at = elsewhere.at;
    let (code, document, _) =
        check(folder.path(), &format!("do: [{{a: {{call: 'http://{at}/moved'}}}}]\n"), &[]);
    // What is beside it is beside the address that the definition says.
    assert_eq!(code, 1, "{document}");
    assert!(document["error"]["message"].as_str().unwrap().contains("/input.json"), "{document}");
    let body = |policy: &str| {
        format!(
            "use: {{catalogs: {{ours: {{endpoint: {{uri: 'http://{at}/closed', authentication: {policy}}}}}}}}}\ndo: [{{a: {{call: 'log:1.0.0@ours'}}}}]\n"
        )
    };
    let (code, document, _) = check(folder.path(), &body("{basic: {username: me, password: pw}}"), &[]);
    assert_eq!(code, 0, "{document}");
    let (code, document, _) = check(folder.path(), &body("{bearer: {token: no}}"), &[]);
    assert_eq!(code, 1);
    assert!(
        document["error"]["message"].as_str().unwrap().ends_with("it answers 401 Unauthorized"),
        "{document}"
    );
}

#[test]
fn what_cannot_be_had_is_said_with_the_place_that_refers_to_it() {
    let (elsewhere, folder) = (Elsewhere::start(), tempfile::tempdir().unwrap());
    let at = elsewhere.at;
    for (what, code, says) in [
        (format!("http://{at}/nothing"), 1, "it answers 404 Not Found"),
        (format!("http://{at}/round"), 1, "whole.yaml:3:11 refers to"),
        ("file://nothing.yaml".to_owned(), 2, "nothing.yaml, which"),
    ] {
        let (exit, document, _) = check(folder.path(), &format!("do: [{{a: {{call: '{what}'}}}}]\n"), &[]);
        let message = document["error"]["message"].as_str().unwrap();
        assert_eq!(exit, code, "{message}");
        assert!(message.contains(says), "{message}");
        assert!(document["error"]["fix"].is_string());
    }
    let (exit, document, _) =
        check(folder.path(), &format!("do: [{{a: {{call: 'http://{at}/large'}}}}]\n"), &[]);
    assert_eq!(exit, 2);
    assert!(
        document["findings"][0]["message"].as_str().unwrap().starts_with("with what it refers to"),
        "{document}"
    );
}

#[test]
fn offline_nothing_is_fetched_and_what_would_be_is_said() {
    let (elsewhere, folder) = (Elsewhere::start(), tempfile::tempdir().unwrap());
    let (code, document, _) = check(folder.path(), "do: [{a: {call: f}}]\n", &["--offline"]);
    assert_eq!(code, 0, "{document}");
    let url = format!("http://{}/functions/log/1.0.0/function.yaml", elsewhere.at);
    let (code, document, stderr) =
        check(folder.path(), &format!("do:\n  - a: {{call: '{url}'}}\n"), &["--offline"]);
    assert_eq!(code, 2, "{document}");
    assert!(stderr.starts_with(&format!("whole.yaml:4:9: would be fetched: {url}\n")), "{stderr}");
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[test]
fn schemas_are_read_from_files_beside_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    std::fs::write(folder.path().join("schemas/in.yaml"), "type: objekt\n").unwrap();
    let body = "input: {schema: {resource: {endpoint: 'file://schemas/in.yaml'}}}\ndo: [{a: {call: f}}]\n";
    let (code, document, _) = check(folder.path(), body, &["--offline"]);
    assert_eq!(code, 2);
    let finding = &document["findings"][0];
    assert_eq!(finding["file"].as_str(), folder.path().join("schemas/in.yaml").to_str(), "{finding}");
    std::fs::write(folder.path().join("schemas/in.yaml"), "type: object\n").unwrap();
    assert_eq!(check(folder.path(), body, &["--offline"]).0, 0);
}
