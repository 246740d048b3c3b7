//! A request over HTTP on loopback, as small as it can be: what checks the fleet shares no code with it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;

/// A client waits for so long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Reads from `host`, a name and a port, on a connection of its own.
pub(crate) fn get(host: &str, path: &str) -> anyhow::Result<Answer> {
    request(host, &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"))
}

/// The same, with a body to be taken in, as JSON.
pub(crate) fn post(host: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
    let content = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    request(host, &format!("POST {path} HTTP/1.0\r\nHost: {host}\r\n{content}\r\n\r\n{body}"))
}

/// HTTP/1.0: the end of the answer is that of the connection.
fn request(host: &str, request: &str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(host).with_context(|| format!("could not connect to {host}"))?;
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    stream.write_all(request.as_bytes()).context("the connection broke")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the connection broke")?;
    parse(&answer).with_context(|| format!("not HTTP: {answer}"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno\r\n\r\n");
        assert_eq!(answer, Some(Answer { status: 503, body: "no\r\n\r\n".to_owned() }));
        assert_eq!(parse(""), None);
        assert_eq!(parse("HTTP/1.1 okay\r\n\r\n"), None);
    }
}
