//! What a policy says.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::builtin::shelf::{self, Key};

/// The properties of the policies `oauth2` and `oidc`.
#[derive(Deserialize)]
pub(in crate::builtin::authentication) struct Properties {
    pub(super) authority: String,
    pub(super) grant: Grant,
    #[serde(default)]
    pub(super) client: Client,
    #[serde(default)]
    pub(super) request: TokenRequest,
    #[serde(default)]
    pub(super) endpoints: Endpoints,
    #[serde(default)]
    pub(super) issuers: Vec<String>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) subject: Option<SecurityToken>,
    pub(super) actor: Option<SecurityToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Grant {
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    #[serde(rename = "password")]
    Password,
    #[serde(rename = "refresh_token")]
    RefreshToken,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl Grant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }
}

#[derive(Default, Deserialize)]
pub(super) struct Client {
    pub(super) id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) assertion: Option<String>,
    #[serde(default)]
    pub(super) authentication: ClientAuthentication,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientAuthentication {
    #[default]
    ClientSecretPost,
    ClientSecretBasic,
    ClientSecretJwt,
    PrivateKeyJwt,
    None,
}

#[derive(Default, Deserialize)]
pub(super) struct TokenRequest {
    #[serde(default)]
    pub(super) encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Encoding {
    #[default]
    #[serde(rename = "application/x-www-form-urlencoded")]
    Form,
    #[serde(rename = "application/json")]
    Json,
}

#[derive(Default, Deserialize)]
pub(super) struct Endpoints {
    pub(super) token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SecurityToken {
    pub(super) token: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// The digest of all of it.
pub(super) fn key(properties: &Properties, is_oidc: bool) -> Key {
    let Properties { authority, grant, client, request, endpoints, issuers, scopes, audiences, .. } =
        properties;
    let Properties { username, password, subject, actor, .. } = properties;
    let list = |it: &[String]| Value::from(it).to_string();
    let token = |it: &Option<SecurityToken>| json!(it.as_ref().map(|it| [&it.token, &it.kind])).to_string();
    let text = |it: &Option<String>| json!(it).to_string();
    let parts = [
        if is_oidc { "oidc" } else { "oauth2" },
        authority,
        grant.name(),
        &text(&client.id),
        &text(&client.secret),
        &text(&client.assertion),
        &format!("{:?}", client.authentication),
        &format!("{:?}", request.encoding),
        &text(&endpoints.token),
        &list(issuers),
        &list(scopes),
        &list(audiences),
        &text(username),
        &text(password),
        &token(subject),
        &token(actor),
    ];
    shelf::key(&parts.map(str::as_bytes))
}
