//! What a failed pull means. Docker passes the registry's words on; there is nothing else to tell causes by.

use tink_workflow::ImageRef;

use super::call::{Failure, FailureKind};
use crate::{Operation, RegistryCredentials, RuntimeError};

/// Words of failures that may go away by themselves. They are looked for first: "lookup registry: no such host" is one
/// of these although a host is "not found".
const MAY_PASS: [&str; 24] = [
    "toomanyrequests",
    "too many requests",
    "no such host",
    "server misbehaving",
    "temporary failure",
    "connection refused",
    "connection reset",
    "connection timed out",
    "no route to host",
    "network is unreachable",
    "network is down",
    "broken pipe",
    "i/o timeout",
    "timeout",
    "deadline exceeded",
    "request canceled",
    "context canceled",
    "unexpected http status: 5",
    "parsing http 5",
    "service unavailable",
    "bad gateway",
    "certificate has expired or is not yet valid", // the machine's clock may not be set yet
    "use of closed network connection",
    "filesystem layer verification failed",
];

/// Words of failures that stay until somebody does something, and what that is.
const STAY: [(&str, &str); 17] = [
    ("unauthorized", LOGIN),
    ("authentication required", LOGIN),
    ("no basic auth credentials", LOGIN),
    ("incorrect username or password", LOGIN),
    ("denied", LOGIN),
    ("forbidden", LOGIN),
    ("manifest unknown", NAME),
    ("name unknown", NAME),
    ("not found", NAME),
    ("does not exist", NAME),
    ("invalid reference", NAME),
    ("no matching manifest", "the image is not made for this machine's platform"),
    ("server gave http response to https client", "add the registry to docker's insecure-registries"),
    ("x509:", "give docker the registry's CA as /etc/docker/certs.d/<registry>/ca.crt"),
    ("no space left on device", "the image does not fit docker's data directory, which may be in memory"),
    ("unsupported", "docker cannot read this image's format"),
    ("quota exceeded", "the image does not fit docker's data directory"),
];

const LOGIN: &str = "check the registry's user name and password, and the image's name";
const NAME: &str = "check the image's name and tag";

/// The error to report, with the password blotted out should any side have repeated it.
pub(super) fn pull_error(
    failure: &Failure,
    image: &ImageRef,
    credentials: Option<&RegistryCredentials>,
) -> RuntimeError {
    let subject = image.familiar();
    let words = credentials.map_or_else(|| failure.message.clone(), |credentials| credentials.redact(&failure.message));
    let lower = words.to_ascii_lowercase();
    let may_pass = failure.kind == FailureKind::Unreachable
        || MAY_PASS.iter().any(|pattern| lower.contains(pattern))
        || lower.ends_with("eof");
    if may_pass {
        return RuntimeError::transient(Operation::Pull, subject, words);
    }
    if let Some((_, advice)) = STAY.iter().find(|(pattern, _)| lower.contains(pattern)) {
        let sent = match (credentials, *advice == LOGIN) {
            (Some(credentials), true) => format!(" (user {:?} was tried)", credentials.username),
            (None, true) => format!(" (none are configured for {})", image.registry()),
            _ => String::new(),
        };
        return RuntimeError::permanent(Operation::Pull, subject, format!("{words}; {advice}{sent}"));
    }
    match failure.kind {
        FailureKind::Status(status) if status != 429 && status < 500 => {
            RuntimeError::permanent(Operation::Pull, subject, words)
        }
        _ => RuntimeError::transient(Operation::Pull, subject, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn error(kind: FailureKind, message: &str) -> RuntimeError {
        let image = ImageRef::parse("registry.example.com/a/b:v1").unwrap();
        pull_error(&Failure { kind, message: message.to_owned() }, &image, None)
    }

    #[test]
    fn what_needs_somebody_is_permanent() {
        for (status, message) in [
            (
                404,
                "pull access denied for a/b, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            ),
            (404, "manifest for registry.example.com/a/b:v1 not found: manifest unknown: manifest unknown"),
            (500, "Head \"https://registry.example.com/v2/a/b/manifests/v1\": no basic auth credentials"),
            (500, "Head \"https://registry.example.com/v2/a/b/manifests/v1\": unauthorized: authentication required"),
            (500, "Get \"https://registry.example.com/v2/\": x509: certificate signed by unknown authority"),
            (500, "Get \"https://registry.example.com/v2/\": http: server gave HTTP response to HTTPS client"),
            (404, "no matching manifest for linux/arm64/v8 in the manifest list entries"),
            (400, "invalid reference format"),
            (400, "something new"),
            (500, "write /var/lib/docker/tmp/GetImageBlob1: no space left on device"),
        ] {
            for kind in [FailureKind::Status(status), FailureKind::InStream] {
                if kind == FailureKind::InStream && message == "something new" {
                    continue;
                }
                let error = error(kind, message);
                assert!(!error.is_retryable(), "{message}");
                assert!(error.to_string().contains(message), "{error}");
            }
        }
    }

    #[test]
    fn what_may_go_away_is_transient() {
        for message in [
            "Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no such host",
            "Get \"https://registry.example.com/v2/\": dial tcp 10.0.0.1:443: connect: connection refused",
            "Get \"https://registry.example.com/v2/\": net/http: TLS handshake timeout",
            "Get \"https://registry.example.com/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            "received unexpected HTTP status: 503 Service Unavailable",
            "error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: \"<html>\"",
            "toomanyrequests: You have reached your pull rate limit.",
            "unexpected EOF",
            "Get \"https://registry.example.com/v2/\": EOF",
            "Get \"https://registry.example.com/v2/\": x509: certificate has expired or is not yet valid: current time 1970-01-01T00:00:09Z",
            "filesystem layer verification failed for digest sha256:1",
            "something new",
        ] {
            for kind in [FailureKind::Status(500), FailureKind::InStream, FailureKind::Unreachable] {
                assert!(error(kind, message).is_retryable(), "{message}");
            }
        }
    }

    #[test]
    fn the_advice_says_whether_a_password_was_sent() {
        let denied = Failure { kind: FailureKind::Status(500), message: "unauthorized: hunter2 is wrong".to_owned() };
        let image = ImageRef::parse("registry.example.com/a/b:v1").unwrap();
        let credentials = RegistryCredentials {
            registry: "registry.example.com".to_owned(),
            username: "admin".to_owned(),
            password: Secret::new("hunter2"),
        };
        let without = pull_error(&denied, &image, None).to_string();
        assert!(without.ends_with("(none are configured for registry.example.com)"), "{without}");
        let with = pull_error(&denied, &image, Some(&credentials)).to_string();
        assert!(with.ends_with("(user \"admin\" was tried)"), "{with}");
        assert!(!with.contains("hunter2"), "{with}");
    }
}
