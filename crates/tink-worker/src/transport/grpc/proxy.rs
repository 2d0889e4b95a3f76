//! HTTP proxies, chosen as Go programs choose them: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.

use std::net::IpAddr;

use base64::Engine;

use super::Target;
use crate::Secret;

/// The proxy for connections to a server, and what is reached without it.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    address: Option<ProxyAddress>,
    plain: Option<ProxyAddress>,
    exceptions: Vec<String>,
}

/// Where the proxy is, and its `Proxy-Authorization`.
#[derive(Clone, Debug)]
pub(super) struct ProxyAddress {
    pub(super) target: Target,
    pub(super) authorization: Option<Secret<String>>,
}

/// Why a proxy setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy in HTTPS_PROXY cannot be used: {reason}")]
pub struct ProxyError {
    reason: String,
}

impl Proxy {
    /// Connections go straight to the server.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// From the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` or their lower-case forms; empty = unset.
    ///
    /// gRPC asks for the HTTPS proxy also where the connection itself is plaintext, as Go's client does.
    ///
    /// # Errors
    /// When the URL of the proxy to the server is none, or not one of plain HTTP.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let read = |names: [&str; 2]| names.iter().find_map(|name| get(name).filter(|value| !value.trim().is_empty()));
        let one = |names| read(names).map(|url| parse(&url)).transpose();
        let address = one(["HTTPS_PROXY", "https_proxy"])?;
        // Only a certificate is fetched through this one; one that is of no use must not keep a worker from its server.
        let plain = one(["HTTP_PROXY", "http_proxy"]).unwrap_or_default();
        let exceptions = read(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        let exceptions = exceptions.split(',').map(|rule| rule.trim().to_ascii_lowercase()).collect::<Vec<_>>();
        Ok(Self { address, plain, exceptions: exceptions.into_iter().filter(|rule| !rule.is_empty()).collect() })
    }

    /// The proxy for this server, unless it is to be reached without.
    pub(super) fn for_target(&self, target: &Target) -> Option<&ProxyAddress> {
        self.address.as_ref().filter(|_| !self.is_excepted(target))
    }

    /// The proxy for plain HTTP to this server, unless it is to be reached without.
    pub(super) fn for_plain_target(&self, target: &Target) -> Option<&ProxyAddress> {
        self.plain.as_ref().filter(|_| !self.is_excepted(target))
    }

    fn is_excepted(&self, target: &Target) -> bool {
        let host = target.host.to_ascii_lowercase();
        let ip = host.parse::<IpAddr>().ok();
        // Go never sends requests to this machine through a proxy.
        let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        local || self.exceptions.iter().any(|rule| matches(rule, &host, ip, target.port))
    }
}

fn parse(url: &str) -> Result<ProxyAddress, ProxyError> {
    let fail = |reason: &str| ProxyError { reason: reason.to_owned() };
    let url = url.trim();
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => return Err(fail(&format!("its scheme is {scheme:?}, only http is supported"))),
        None => url,
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { address.to_owned() } else { format!("{address}:80") };
    let target = Target::parse(&address).map_err(|error| fail(&error.to_string()))?;
    let authorization = user.map(|user| {
        let plain = percent_decode(user);
        let plain = if plain.contains(':') { plain } else { format!("{plain}:") };
        Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain)))
    });
    Ok(ProxyAddress { target, authorization })
}

fn matches(rule: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let (Some((net, bits)), Some(ip)) = (rule.split_once('/'), ip) {
        return net.parse().is_ok_and(|net: IpAddr| bits.parse().is_ok_and(|bits: u32| in_network(ip, net, bits)));
    }
    let (rule, wanted_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => match digits.parse::<u16>() {
            Ok(digits) => (name, Some(digits)),
            Err(_) => (rule, None),
        },
        _ => (rule, None),
    };
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let (Ok(rule), Some(ip)) = (rule.parse::<IpAddr>(), ip) {
        return rule == ip;
    }
    let rule = rule.strip_prefix('*').unwrap_or(rule);
    match rule.strip_prefix('.') {
        // ".example.com" is for the hosts below, "example.com" for itself, too.
        Some(_) => host.ends_with(rule),
        None => host == rule || host.strip_suffix(rule).is_some_and(|head| head.ends_with('.')),
    }
}

fn in_network(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(ip) & mask == u32::from(net) & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(ip) & mask == u128::from(net) & mask
        }
        _ => false,
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let rest = bytes.clone().take(2).collect::<Vec<_>>();
        match std::str::from_utf8(&rest)
            .ok()
            .filter(|hex| hex.len() == 2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, exceptions: &str) -> Proxy {
        Proxy::from_env(|name| match name {
            "HTTPS_PROXY" => Some(url.to_owned()),
            "no_proxy" => Some(exceptions.to_owned()),
            _ => None,
        })
        .unwrap()
    }

    fn is_used(exceptions: &str, server: &str) -> bool {
        proxy("http://proxy:3128", exceptions).for_target(&Target::parse(server).unwrap()).is_some()
    }

    #[test]
    fn a_proxy_is_used_unless_the_host_is_excepted() {
        assert!(is_used("", "tink.example.com:1"));
        assert!(!is_used("", "localhost:1"));
        assert!(!is_used("", "127.0.0.1:1"));
        for rule in ["*", "example.com", ".example.com", "*.example.com", "x, TINK.example.com", "tink.example.com:1"] {
            assert!(!is_used(rule, "tink.example.com:1"), "{rule}");
        }
        for rule in ["ink.example.com", "tink.example.com:2", ".tink.example.com", "10.0.0.0/8"] {
            assert!(is_used(rule, "tink.example.com:1"), "{rule}");
        }
        assert!(!is_used("10.0.0.0/8", "10.1.2.3:1"));
        assert!(is_used("10.0.0.0/16", "10.1.2.3:1"));
        assert!(!is_used("fd00::/8", "[fd00::1]:1"));
        assert!(!is_used("0.0.0.0/0", "8.8.8.8:1"));
    }

    #[test]
    fn an_empty_variable_is_no_proxy() {
        let proxy = Proxy::from_env(|_| Some(String::new())).unwrap();
        assert!(proxy.for_target(&Target::parse("tink:1").unwrap()).is_none());
    }

    #[test]
    fn credentials_of_the_url_are_sent_and_not_shown() {
        let proxy = proxy("http://user:p%40ss@proxy.example.com/", "");
        let address = proxy.for_target(&Target::parse("tink:1").unwrap()).unwrap();
        assert_eq!(address.target.to_string(), "proxy.example.com:80");
        assert_eq!(address.authorization.as_ref().unwrap().expose(), "Basic dXNlcjpwQHNz");
        assert!(!format!("{proxy:?}").contains("dXNlcj"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error() {
        assert!(Proxy::from_env(|_| Some("socks5://proxy:1080".to_owned())).is_err());
        assert!(Proxy::from_env(|_| Some("http://proxy:x y".to_owned())).is_err());
    }
}
