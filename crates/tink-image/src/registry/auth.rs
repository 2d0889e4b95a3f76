//! What a 401 asks for: basic authentication or a token from a token service.

use std::time::Duration;

use base64::Engine as _;
use http::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;

use super::client::{Call, Endpoint};
use super::config::Credential;
use super::{Registries, client};
use crate::error::ImageError;

/// A token's place in the cache: endpoint and scope.
pub(super) type TokenKey = (String, String);

/// A header that opened an endpoint before.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// `None` = as long as the credentials.
    expires: Option<Instant>,
}

impl Token {
    pub(super) fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

/// Largest answer of a token service, in bytes.
const TOKEN_BYTES_MAX: u64 = 256 * 1024;
/// How long a token is good for if the service does not say: what the specification says.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// Taken off a token's life, so that it does not end on the way.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// One way in that a `WWW-Authenticate` header offers.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Registries {
    /// The header that answers a 401, or `None` where there is nothing to answer with.
    pub(super) async fn answer_challenge(
        &self,
        endpoint: &Endpoint,
        challenges: &[HeaderValue],
        scope: &str,
    ) -> Result<Option<Token>, ImageError> {
        let credential = self.config().credential(endpoint.credential_host());
        for challenge in parse(challenges) {
            match (challenge, credential) {
                (Challenge::Basic, Some(credential)) => {
                    return Ok(basic(credential).map(|header| Token { header, expires: None }));
                }
                (Challenge::Basic, None) => {}
                (Challenge::Bearer { realm, service, scope: asked }, credential) => {
                    let scope = if scope.is_empty() { asked.unwrap_or_default() } else { scope.to_owned() };
                    return self.fetch_token(endpoint, &realm, service.as_deref(), &scope, credential).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<Token, ImageError> {
        let failed = |detail: String, retryable| ImageError::Token {
            registry: endpoint.registry.clone(),
            realm: realm.chars().take(200).collect(),
            detail,
            retryable,
        };
        // A registry that is spoken to over TLS must not lead the password into the open.
        if !endpoint.is_plain() && !endpoint.is_unverified() && !realm.starts_with("https://") {
            return Err(failed("nothing: it is not asked, as it is not https".to_owned(), false));
        }
        let mut url = realm.to_owned();
        let mut separator = if realm.contains('?') { '&' } else { '?' };
        for (key, value) in [("service", service), ("scope", (!scope.is_empty()).then_some(scope))] {
            if let Some(value) = value {
                url.push(separator);
                url.push_str(key);
                url.push('=');
                url.push_str(&client::query_escaped(value));
                separator = '&';
            }
        }
        let call = Call::get("a token", url).without_auth(credential.and_then(basic));
        let response = self.send(endpoint, &call).await.map_err(|error| match error {
            ImageError::Denied { status, .. } | ImageError::Status { status, .. } => {
                failed(format!("HTTP {status}"), status >= 500 || status == 429)
            }
            ImageError::NotFound { .. } => failed("HTTP 404".to_owned(), false),
            other => other,
        })?;
        let body = self.read_all(endpoint, &call, response, TOKEN_BYTES_MAX).await?;
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| failed("with something that is no token".to_owned(), false))?;
        let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token).unwrap_or_default();
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))
            .ok()
            .filter(|_| !token.is_empty())
            .ok_or_else(|| failed("without a token".to_owned(), false))?;
        header.set_sensitive(true);
        let life = answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).clamp(TOKEN_LIFE, TOKEN_LIFE * 60);
        Ok(Token { header, expires: Some(Instant::now() + life - TOKEN_MARGIN) })
    }
}

fn basic(credential: &Credential) -> Option<HeaderValue> {
    let pair = format!("{}:{}", credential.username, credential.password.expose());
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The challenges of all headers that we can answer, bearer before basic, as both may be offered.
fn parse(headers: &[HeaderValue]) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> =
        headers.iter().filter_map(|header| header.to_str().ok()).flat_map(split).filter_map(challenge).collect();
    challenges.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    challenges
}

/// One header may hold several challenges, and commas stand between them as between the parameters of each.
fn split(text: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let (mut part_at, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                if begins_challenge(&text[part_at..at]) {
                    starts.push(part_at);
                }
                part_at = at + 1;
            }
            _ => {}
        }
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

/// A scheme comes first; a parameter is a word and `=`.
fn begins_challenge(part: &str) -> bool {
    let part = part.trim_start();
    let word = part.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(part.len());
    word > 0 && !part[word..].trim_start().starts_with('=')
}

fn challenge(text: &str) -> Option<Challenge> {
    let text = text.trim_matches(|c: char| c == ',' || c.is_whitespace());
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    for (key, value) in parameters(rest) {
        match key.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// `key="quoted, value",key=token`.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some(equals) = text.find('=') {
        let key = text[..equals].trim_matches(|c: char| c == ',' || c.is_whitespace()).to_owned();
        text = text[equals + 1..].trim_start();
        let mut value = String::new();
        if let Some(rest) = text.strip_prefix('"') {
            let mut chars = rest.char_indices();
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                    c => value.push(c),
                }
            }
            text = &rest[end..];
        } else {
            let end = text.find(',').unwrap_or(text.len());
            text[..end].trim().clone_into(&mut value);
            text = &text[end..];
        }
        found.push((key, value));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let bearer = |text: &str| challenge(text).unwrap();
        assert_eq!(
            bearer(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            Challenge::Bearer {
                realm: "https://auth.docker.io/token".to_owned(),
                service: Some("registry.docker.io".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned()),
            }
        );
        assert_eq!(challenge("BASIC realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(challenge("Basic"), Some(Challenge::Basic));
        assert_eq!(challenge("Bearer service=\"x\""), None, "no realm");
        assert_eq!(challenge("Negotiate"), None);
        assert_eq!(
            challenge("Bearer realm=\"unterminated"),
            Some(Challenge::Bearer { realm: "unterminated".to_owned(), service: None, scope: None })
        );
    }

    #[test]
    fn a_token_is_preferred_where_both_are_offered() {
        let headers = ["Basic realm=x", "Bearer realm=\"https://t\""].map(HeaderValue::from_static);
        assert!(matches!(parse(&headers)[0], Challenge::Bearer { .. }));
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let all = |text: &'static str| parse(&[HeaderValue::from_static(text)]);
        assert_eq!(all("Negotiate, Basic realm=\"a, Bearer realm=b\""), [Challenge::Basic]);
        assert_eq!(all("Negotiate YWJj==,NTLM,Basic realm=x"), [Challenge::Basic]);
        let bearer = |service: Option<&str>| Challenge::Bearer {
            realm: "https://t".to_owned(),
            service: service.map(str::to_owned),
            scope: None,
        };
        assert_eq!(
            all("Basic realm=x, Bearer realm=\"https://t\", service = \"s\""),
            [bearer(Some("s")), Challenge::Basic]
        );
        assert_eq!(all("Bearer realm=\"https://t\", Basic"), [bearer(None), Challenge::Basic]);
    }
}
