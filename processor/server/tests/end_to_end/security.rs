//! Who may use the HTTP API, and how much.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::stories::{APPROVAL, HELLO};
use crate::support::{Fleet, millrace};

fn line(name: &str, role: &str, token: &str) -> String {
    let hash: String = Sha256::digest(token).iter().map(|it| format!("{it:02x}")).collect();
    format!("{name} {role} {hash}\n")
}

/// Status, the error's code, and the headers.
async fn ask(
    client: &Client,
    fleet: &Fleet,
    (method, path): (Method, &str),
    token: Option<&str>,
    body: Option<Value>,
) -> (u16, String, reqwest::header::HeaderMap) {
    let mut request = client.request(method, format!("{}{path}", fleet.url()));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_learns_nothing_and_a_role_lets_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let three =
        line("ann", "admin", "t-ann") + &line("bob", "write", "t-bob") + &line("eve", "read", "t-eve");
    std::fs::write(&tokens, &three).unwrap();
    let tokens = tokens.to_str().unwrap();
    let arguments = ["--http-tokens", tokens, "-v"];
    let mut fleet = Fleet::in_dev(2, &[HELLO, APPROVAL], &arguments);
    let client = Client::new();
    let start = || Some(json!({ "workflow": "demo/approval", "id": "a-1" }));
    let code = async |token, request, body| {
        let (status, code, _) = ask(&client, &fleet, request, token, body).await;
        (status, code)
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());

    // Nobody; and nothing of what there is.
    let document: Value =
        client.get(format!("{}/openapi.json", fleet.url())).send().await.unwrap().json().await.unwrap();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{partition}", "0").replace("{offset}", "0").replace(['{', '}'], "x");
            let method: Method = method.to_uppercase().parse().unwrap();
            let (status, _, headers) = ask(&client, &fleet, (method, &path), None, None).await;
            if path.starts_with("/v1/") {
                operations += 1;
                assert_eq!(status, 401, "{path}");
                assert_eq!(headers["www-authenticate"], "Bearer");
            } else {
                assert_eq!(status, 200, "{path}");
            }
            assert_eq!(
                (&headers["x-content-type-options"], &headers["x-frame-options"]),
                (&"nosniff".parse().unwrap(), &"DENY".parse().unwrap())
            );
            assert!(headers.get("access-control-allow-origin").is_none());
        }
    }
    assert!(operations > 30, "{operations} were asked");
    // The console tells nothing by itself; it keeps to itself, and is sent again only when it is another one.
    let page = client.get(format!("{}/", fleet.url())).send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.url().path()), (200, "/console/"));
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let again = client.get(page.url().clone()).header("if-none-match", &page.headers()["etag"]);
    assert_eq!(again.send().await.unwrap().status(), 304);
    let view = client.get(format!("{}/console/instances/x", fleet.url())).send().await.unwrap();
    assert_eq!(view.headers()["content-type"], "text/html; charset=utf-8");
    let line_of_ann = line("ann", "admin", "t-ann");
    for wrong in ["t-ann ", "T-ANN", "t-mallory", &line_of_ann[10..74]] {
        let found = code(Some(wrong), (Method::GET, "/v1/instances"), None).await;
        // A space at the end is cut by HTTP itself.
        assert!(found.0 == 401 || wrong == "t-ann ", "{wrong}: {found:?}");
    }

    // Roles.
    let (get, post) = (Method::GET, Method::POST);
    for token in ["t-eve", "t-bob", "t-ann"] {
        assert_eq!(code(Some(token), (get.clone(), "/v1/instances"), None).await.0, 200, "{token}");
    }
    let instances = (post.clone(), "/v1/instances?wait=accepted&timeout=60s");
    assert_eq!(code(Some("t-eve"), instances.clone(), start()).await, refused(403, "forbidden"));
    assert_eq!(code(Some("t-bob"), instances, start()).await.0, 200);
    let batch =
        json!({ "filter": { "workflow": "demo/approval" }, "action": { "verb": "cancel" }, "dry_run": true });
    assert_eq!(
        code(Some("t-bob"), (post.clone(), "/v1/batch"), Some(batch.clone())).await,
        refused(403, "forbidden")
    );
    assert_eq!(code(Some("t-ann"), (post.clone(), "/v1/batch"), Some(batch)).await.0, 200);
    let redrive = (post.clone(), "/v1/dead-letters/0/0/redrive");
    assert_eq!(code(Some("t-bob"), redrive.clone(), None).await, refused(403, "forbidden"));
    assert_eq!(code(Some("t-ann"), redrive, None).await, refused(404, "not_found"));
    for (token, query, status) in [("t-bob", "", 403), ("t-eve", "?check=true", 200), ("t-ann", "", 200)] {
        let request = client.post(format!("{}/v1/definitions{query}", fleet.url())).bearer_auth(token);
        let response = request.header("content-type", "application/yaml").body(HELLO).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{token} {query}");
    }

    // Who it was is in the history, and in the audit log; what showed it is nowhere.
    let suspend = (post.clone(), "/v1/instances/a-1/suspend?wait=accepted&timeout=60s");
    assert_eq!(code(Some("t-ann"), suspend, Some(json!({ "reason": "lunch" }))).await.0, 200);
    let history = client
        .get(format!("{}/v1/instances/a-1/history", fleet.url()))
        .bearer_auth("t-eve")
        .send()
        .await
        .unwrap();
    let history = history.text().await.unwrap();
    assert!(history.contains("/millrace/api/bob") && history.contains("/millrace/api/ann"), "{history}");
    // The command line, too, shows a token.
    fleet.run(&["get", "a-1"]).ends_with(1);
    let token = fleet.file("token", "t-eve\n");
    fleet.run(&["--api-token-file", &token, "get", "a-1"]).succeeds();

    // Tokens change without a restart; a wrong file changes nothing.
    std::fs::write(tokens, "nonsense").unwrap();
    fleet.until_said("cannot be used; what was read before stays").await;
    assert_eq!(code(Some("t-eve"), (get.clone(), "/v1/instances"), None).await.0, 200);
    std::fs::write(tokens, line("ann", "admin", "t-ann")).unwrap();
    fleet
        .until("eve is gone", async || {
            code(Some("t-eve"), (get.clone(), "/v1/instances"), None).await.0 == 401
        })
        .await;
    assert_eq!(code(Some("t-ann"), (get, "/v1/caller"), None).await.0, 200);
    assert_eq!(fleet.stop_processor(), Some(0));
    let log = fleet.log();
    for token in ["t-ann", "t-bob", "t-eve", "t-mallory"] {
        assert!(!log.contains(token), "{token} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_a_line_of_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, line("ann", "write", "t-ann")).unwrap();
    let arguments = ["--http-tokens", tokens.to_str().unwrap()];
    // In `dev` it is written if it is asked for.
    let mut fleet = Fleet::in_dev_logging(2, &[APPROVAL], &arguments, "warn,audit=info");
    let client = Client::new();
    let start = json!({ "workflow": "demo/approval", "id": "a-1" });
    let post = |path: &'static str| (Method::POST, path);
    ask(&client, &fleet, post("/v1/instances?wait=accepted&timeout=60s"), Some("t-ann"), Some(start.clone()))
        .await;
    let reason = json!({ "reason": "enough \"of\" it\n" });
    ask(
        &client,
        &fleet,
        post("/v1/instances/a-1/cancel?wait=accepted&timeout=60s"),
        Some("t-ann"),
        Some(reason),
    )
    .await;
    ask(&client, &fleet, post("/v1/instances"), None, Some(start)).await;
    ask(&client, &fleet, (Method::GET, "/v1/instances"), Some("t-ann"), None).await;
    assert_eq!(fleet.stop_processor(), Some(0));
    let log = fleet.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|it| it.contains(r#""target":"audit""#))
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{log}");
    let line = |index: usize, name: &str| lines[index][name].clone();
    assert_eq!(
        (line(0, "who"), line(0, "role"), line(0, "status")),
        (json!("ann"), json!("write"), json!(200))
    );
    assert_eq!((line(0, "operation"), line(0, "subject")), (json!("/v1/instances"), json!("a-1")));
    assert_eq!(
        (line(1, "operation"), line(1, "reason")),
        (json!("/v1/instances/{id}/cancel"), json!("enough \"of\" it\n"))
    );
    assert_eq!(
        (line(2, "who"), line(2, "status"), line(2, "error")),
        (json!("nobody"), json!(401), json!("unauthenticated"))
    );
    assert!(line(0, "event").as_str().unwrap().starts_with("/millrace/api/ann "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused() {
    let arguments = ["--http-rate-max", "10", "--http-body-bytes-max", "1000"];
    let mut fleet = Fleet::in_dev(2, &[APPROVAL], &arguments);
    let client = Client::new();
    let large = json!({ "workflow": "demo/approval", "input": "x".repeat(2_000) });
    let (status, code, _) = ask(&client, &fleet, (Method::POST, "/v1/instances"), None, Some(large)).await;
    assert_eq!((status, code.as_str()), (413, "too_large"));
    let mut refused = None;
    for _ in 0..100 {
        let (status, code, headers) = ask(&client, &fleet, (Method::GET, "/v1/caller"), None, None).await;
        if status != 200 {
            refused = Some((status, code, headers["retry-after"].clone()));
            break;
        }
    }
    let (status, code, retry_after) = refused.expect("a hundred are too many");
    assert_eq!((status, code.as_str(), retry_after.to_str().unwrap()), (429, "too_many_requests", "1"));
    assert_eq!(fleet.get("/livez").await.0, 200, "the platform is answered in any case");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(fleet.get("/v1/caller").await.0, 200, "later is well");
    // Pages of others, and names that lead here.
    let evil = client.post(format!("{}/v1/instances", fleet.url())).header("origin", "https://evil.example");
    let evil = evil.json(&json!({ "workflow": "demo/approval" })).send().await.unwrap();
    assert_eq!(evil.status().as_u16(), 403);
    let rebound = client.get(format!("{}/v1/instances", fleet.url())).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status().as_u16(), 403);
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_tls_and_takes_a_renewed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let renew = || {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(file("cert"), made.cert.pem()).unwrap();
        made.cert.pem()
    };
    let first = renew();
    let arguments = ["--http-tls-cert", &file("cert"), "--http-tls-key", &file("key")];
    let mut fleet = Fleet::in_dev(2, &[APPROVAL], &arguments);
    assert!(fleet.url().starts_with("https://"), "{}", fleet.url());
    let trusting = |pem: &str| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        Client::builder().tls_certs_only([root]).build().unwrap()
    };
    let asked = async |pem: &str| trusting(pem).get(format!("{}/v1/caller", fleet.url())).send().await;
    let answer = asked(&first).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    // The command line trusts what it is told to, and nothing else.
    fleet.run(&["list", "demo/approval"]).ends_with(1);
    fleet.run(&["--api-ca", &file("cert"), "list", "demo/approval"]).succeeds();
    let second = renew();
    fleet.until("the new certificate is taken", async || asked(&second).await.is_ok()).await;
    assert!(asked(&first).await.is_err(), "the old one is gone");
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[test]
fn nobody_is_let_in_from_elsewhere_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments =
        ["dev", "--http", "0.0.0.0:0", "--kafka", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let ran = crate::support::Ran::of(millrace(&arguments));
    ran.ends_with(2);
    assert!(ran.stderr().contains("--http-tokens"), "{}", ran.stderr());
}
