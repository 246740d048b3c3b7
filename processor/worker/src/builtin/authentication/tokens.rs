//! Tokens: each is asked for once, kept until shortly before its end, and renewed by one for all.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::oauth2::{OAuth2, Token};
use crate::TaskFailure;
use crate::builtin::client::Client;
use crate::builtin::secrets::Redaction;
use crate::builtin::shelf::Shelf;

/// Policies whose tokens are kept.
const POLICIES_MAX: usize = 1_000;
/// Largest answer of an authority, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The tokens of all policies.
#[derive(Debug)]
pub(in crate::builtin) struct Tokens(Shelf<Held>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Shelf::new(POLICIES_MAX, usize::MAX))
    }
}

/// What one policy has.
#[derive(Default)]
struct Held {
    token: Option<(String, Instant)>,
    refresh: Option<String>,
    failed: Option<(TaskFailure, Instant)>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// A token for the policy; another one than `refused`, if the authority has another.
    ///
    /// # Errors
    /// When the authority refuses, or is not to be had.
    pub(in crate::builtin) async fn get(
        &self,
        client: &Client,
        policy: &OAuth2,
        refused: Option<&str>,
        redaction: &mut Redaction,
    ) -> Result<String, TaskFailure> {
        let asked = Instant::now();
        let slot = self.0.slot(policy.key());
        let mut held = slot.lock().await;
        if let Some((token, end)) = &held.token
            && Instant::now() < *end
            && refused != Some(token)
        {
            redaction.add(token);
            return Ok(token.clone());
        }
        // Who waited while another one asked in vain need not ask again.
        if let Some((failure, at)) = &held.failed
            && *at > asked
        {
            return Err(failure.clone());
        }
        match ask(client, policy, held.refresh.as_deref(), redaction).await {
            Ok(token) => {
                let end = Instant::now() + token.usable;
                held.refresh = token.refresh.or_else(|| held.refresh.take());
                held.token = Some((token.text.clone(), end));
                held.failed = None;
                Ok(token.text)
            }
            Err(failure) => {
                let failure = redaction.failure(failure);
                held.token = None;
                held.failed = Some((failure.clone(), Instant::now()));
                Err(failure)
            }
        }
    }
}

async fn ask(
    client: &Client,
    policy: &OAuth2,
    refresh: Option<&str>,
    redaction: &mut Redaction,
) -> Result<Token, TaskFailure> {
    let endpoint = match policy.discovery() {
        None => policy.endpoint(None)?,
        Some(request) => {
            let response = client.send(&request, None).await?;
            let response = client.read(&request, response, ANSWER_BYTES_MAX).await?;
            policy.endpoint(Some((&request, &response)))?
        }
    };
    if let Some(refresh) = refresh {
        redaction.add(refresh);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let request = policy.request(endpoint, refresh, now)?;
    let response = client.send(&request, None).await?;
    let response = client.read(&request, response, ANSWER_BYTES_MAX).await?;
    let token = policy.token(&request, &response, now)?;
    redaction.add(&token.text);
    if let Some(refresh) = &token.refresh {
        redaction.add(refresh);
    }
    Ok(token)
}
