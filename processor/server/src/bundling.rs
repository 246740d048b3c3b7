//! Fetching what a definition refers to elsewhere, before it is admitted: over HTTP, and from files of this machine.
//!
//! This runs as the person who deploys, and may go where they may go. What a definition needs while it runs is the worker's to get.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use millrace_workflow::admission::{Finding, TEXT_BYTES_MAX};
use millrace_workflow::bundle::{Bundle, Credentials, Location, Reference};
use reqwest::redirect::Policy;
use tokio::io::AsyncReadExt as _;

use crate::exit::Failure;
use crate::output::Output;

/// For one resource, redirects included.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REDIRECTS_MAX: usize = 5;

/// Where more definitions are than those that are named.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Catalogs {
    /// Where the functions `name:version@default` are: a catalog's `https://` URI, or `file:///FOLDER`
    #[arg(long, env = "MILLRACE_DEFAULT_CATALOG", value_name = "URI")]
    default_catalog: Option<String>,
}

/// How to get what is elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bundling<'a> {
    pub(crate) output: Output,
    pub(crate) catalogs: &'a Catalogs,
    /// Fetch nothing, and say what would be fetched.
    pub(crate) is_offline: bool,
}

impl Bundling<'_> {
    /// Writes all that the definition refers to into it. Paths in it are relative to the folder of `file`.
    ///
    /// The inner error is what is wrong with the definition, the outer one what could not be had.
    pub(crate) async fn complete(
        &self,
        bundle: &mut Bundle,
        file: &Path,
    ) -> anyhow::Result<Result<(), Vec<Finding>>> {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let mut client = None;
        loop {
            let mut wanted = match bundle.wanted(self.catalogs.default_catalog.as_deref()) {
                Ok(wanted) => wanted,
                Err(findings) => return Ok(Err(findings)),
            };
            if self.is_offline {
                wanted.retain(|it| matches!(it.location, Location::File(_)));
            }
            if wanted.is_empty() {
                break;
            }
            for reference in wanted {
                let content = match &reference.location {
                    Location::File(path) => read(bundle, &reference, &folder.join(path)).await?,
                    Location::Url(url) => {
                        let client = match &mut client {
                            Some(client) => client,
                            None => client.insert(build_client()?),
                        };
                        let fetched = fetch(client, bundle, &reference, url);
                        self.output.patiently(&format!("fetching {url}"), fetched).await?
                    }
                };
                if let Err(finding) = bundle.insert(&reference, &content) {
                    return Ok(Err(vec![finding]));
                }
            }
        }
        if self.is_offline {
            for reference in bundle.wanted(self.catalogs.default_catalog.as_deref()).unwrap_or_default() {
                let place = place(bundle, &reference);
                self.output.note(&format!("{place}: would be fetched: {}", reference.location));
            }
        }
        Ok(Ok(()))
    }
}

/// Where the reference stands, as a compiler says it.
fn place(bundle: &Bundle, reference: &Reference) -> String {
    let Finding { file, line, column, .. } = bundle.finding(&reference.pointer, "", "");
    format!("{file}:{line}:{column}")
}

async fn read(bundle: &Bundle, reference: &Reference, path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot read {}, which {} refers to", path.display(), place(bundle, reference));
        let fix =
            "correct the path: it is relative to the file that names it, unless it begins with `file:///`";
        Failure::refused(what, fix).because(error)
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut content = Vec::new();
    // One byte more than there may be: then it is known to be too large, and not read to its end.
    let limit = u64::try_from(TEXT_BYTES_MAX + 1)?;
    file.take(limit).read_to_end(&mut content).await.map_err(failed)?;
    Ok(content)
}

fn build_client() -> anyhow::Result<reqwest::Client> {
    let redirects = Policy::custom(|attempt| {
        let is_downgrade =
            attempt.url().scheme() != "https" && attempt.previous().iter().any(|it| it.scheme() == "https");
        if is_downgrade {
            attempt.error("a redirect leads from https to http")
        } else if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("there are more than 5 redirects")
        } else {
            attempt.follow()
        }
    });
    let builder =
        reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT).redirect(redirects);
    let agent = concat!("millrace/", env!("CARGO_PKG_VERSION"));
    builder.user_agent(agent).build().map_err(|error| {
        Failure::new("there is no HTTP client", "check the certificates of this machine")
            .because(error)
            .into()
    })
}

async fn fetch(
    client: &reqwest::Client,
    bundle: &Bundle,
    reference: &Reference,
    url: &str,
) -> anyhow::Result<Vec<u8>> {
    let what = || format!("cannot fetch {url}, which {} refers to", place(bundle, reference));
    let failed = |error: reqwest::Error| {
        let fix = "check the address and the network; or write what is there into the definition";
        Failure::new(what(), fix).because(error.without_url())
    };
    let request = client.get(url);
    let request = match &reference.credentials {
        None => request,
        Some(Credentials::Basic { username, password }) => request.basic_auth(username, Some(password)),
        Some(Credentials::Bearer { token }) => request.bearer_auth(token),
    };
    let mut answer = request.send().await.map_err(failed)?;
    if !answer.status().is_success() {
        let fix =
            "check the address, and that it can be had without credentials, or by those of the definition";
        return Err(Failure::new(format!("{}: it answers {}", what(), answer.status()), fix).into());
    }
    let mut content = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        content.extend_from_slice(&chunk);
        if content.len() > TEXT_BYTES_MAX {
            // Too large whatever follows: the bundle says so.
            break;
        }
    }
    Ok(content)
}
