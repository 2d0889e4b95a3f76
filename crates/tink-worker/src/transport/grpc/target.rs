//! `host:port`, as it stands in a flag or on a kernel command line.

use std::fmt;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a text is no server address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing there.
    #[error(
        "no server address is given; set -grpc-server, AGENT_GRPC_SERVER or TINKERBELL_GRPC_AUTHORITY to host:port"
    )]
    Empty,
    /// Not of the form.
    #[error("server address {found:?} is not host:port: {reason}")]
    Invalid {
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Target {
    /// Parses `host:port`, `[ipv6]:port` or, as gRPC writes it, `dns:///host:port`. Without a port it is 443.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let whole = text.trim();
        if whole.is_empty() {
            return Err(TargetError::Empty);
        }
        let invalid = |reason| TargetError::Invalid { found: whole.to_owned(), reason };
        let text = ["dns:///", "passthrough:///", "dns:"]
            .iter()
            .find_map(|prefix| whole.strip_prefix(prefix))
            .unwrap_or(whole);
        if text.contains("://") {
            return Err(invalid("it is a URL; leave out the scheme, TLS is switched on by -grpc-tls"));
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| invalid("the bracket is not closed"))?;
            (host, rest.strip_prefix(':'))
        } else if text.matches(':').count() > 1 {
            (text, None)
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => Some(443),
        };
        let port = port.ok_or_else(|| invalid("the port is not a number from 1 to 65535"))?;
        if host.is_empty() {
            return Err(invalid("the host is missing"));
        }
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#')) {
            return Err(invalid("the host holds a character that no host has"));
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// `host:port`, an IPv6 address in brackets: what a URI and a proxy want.
    #[must_use]
    pub fn authority(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_people_write_are_understood() {
        for (text, host, port) in [
            ("192.168.2.1:42113", "192.168.2.1", 42113),
            ("tink.example.com", "tink.example.com", 443),
            ("[::1]:42113", "::1", 42113),
            ("fe80::1", "fe80::1", 443),
            ("dns:///tink:42113", "tink", 42113),
            (" tink:1 \n", "tink", 1),
        ] {
            assert_eq!(Target::parse(text), Ok(Target { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        assert_eq!(Target::parse("  "), Err(TargetError::Empty));
        for bad in ["http://tink:1", "tink:0", "tink:65536", "tink:x", ":42113", "[::1:2", "a b:1", "tink:1/path"] {
            assert!(matches!(Target::parse(bad), Err(TargetError::Invalid { .. })), "{bad}");
        }
    }
}
