//! The examples of the README, as they are there.

use std::process::Command;

use crate::support::{Fleet, Ran};

const README: &str = include_str!("../../README.md");

/// The text of the blocks that begin so.
fn blocks(begin: &str) -> Vec<&'static str> {
    let after = README.split(begin).skip(1);
    after.map(|it| it.split("\n```").next().unwrap().trim_start()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_asks_by_curl_is_answered() {
    let is_there = Command::new("curl").arg("--version").output().is_ok_and(|it| it.status.success());
    if !is_there && std::env::var("MILLRACE_TEST_TOOLS").as_deref() != Ok("required") {
        eprintln!("curl is missing: ops/setup.sh");
        return;
    }
    let mut fleet = Fleet::in_dev(2, &[], &[]);
    let blocks = blocks("```sh curl\n");
    assert_eq!(blocks.len(), 1);
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", blocks[0]]).env("MILLRACE_API", fleet.url());
    let said = tokio::task::spawn_blocking(|| Ran::of(command)).await.unwrap().succeeds();
    for expected in [
        r#""outcome":"deployed""#,
        r#""answer":"accepted""#,
        r#""raw_input":{"what":"tea"}"#,
        r#""status":"active""#,
        r#""result":"running""#,
        r#""outcome":"taken""#,
        r#""instance_status":"suspended""#,
        r#""type":"end""#,
        r#""schedules":[]"#,
        r#""dead_letters":["#,
        r#""is_this":true"#,
        "event: entry",
    ] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
    assert_eq!(fleet.stop_processor(), Some(0));
}
