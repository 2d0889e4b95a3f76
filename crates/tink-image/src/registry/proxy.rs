//! Proxies, by the rules of Go's programs, since that is what installations are configured for.

use std::net::IpAddr;

use base64::Engine as _;
use http::{HeaderValue, Uri};

use super::config::{host_of, is_loopback};
use crate::error::ImageError;
use crate::secret::Secret;

/// Proxy settings as they stand in the environment. They may hold passwords.
#[derive(Clone, Default)]
pub struct ProxyConfig {
    /// `HTTP_PROXY`: for plain HTTP.
    pub http: Option<Secret>,
    /// `HTTPS_PROXY`: for HTTPS.
    pub https: Option<Secret>,
    /// `NO_PROXY`: hosts, domains (with all below them), addresses, ranges, each with or without a port, by commas; `*`.
    pub no_proxy: Option<String>,
}

impl ProxyConfig {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or their lower-case forms.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same from variables that are kept elsewhere.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |upper: &str, lower: &str| {
            [upper, lower].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        Self {
            http: get("HTTP_PROXY", "http_proxy").map(Secret::new),
            https: get("HTTPS_PROXY", "https_proxy").map(Secret::new),
            no_proxy: get("NO_PROXY", "no_proxy"),
        }
    }
}

/// A proxy to go through.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authorization: Option<HeaderValue>,
}

/// All proxies and exceptions.
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Exception>,
}

enum Exception {
    All,
    Range(Cidr),
    /// The host itself unless `below_only`, and everything below it; on one port or all.
    Domain {
        name: String,
        below_only: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub(super) fn parse(config: &ProxyConfig) -> Result<Self, ImageError> {
        let one = |name: &str, value: &Option<Secret>| {
            value.as_ref().map(|value| Proxy::parse(name, value.expose())).transpose()
        };
        let except = config.no_proxy.as_deref().unwrap_or_default();
        Ok(Self {
            http: one("HTTP_PROXY", &config.http)?,
            https: one("HTTPS_PROXY", &config.https)?,
            except: except.split(',').filter_map(Exception::parse).collect(),
        })
    }

    /// The proxy for an address, if it is not to be reached directly. Loopback is always reached directly.
    pub(super) fn for_uri(&self, uri: &Uri) -> Option<&Proxy> {
        let tls = uri.scheme_str() == Some("https");
        let authority = uri.authority()?;
        let host = host_of(authority.as_str()).to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if is_loopback(authority.as_str()) || self.except.iter().any(|one| one.covers(&host, port)) {
            return None;
        }
        if tls { self.https.as_ref() } else { self.http.as_ref() }
    }

    /// What a plain request must carry for its proxy. A tunnel carries its own.
    pub(super) fn authorization_in_request(&self, uri: &Uri) -> Option<HeaderValue> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        self.for_uri(uri)?.authorization.clone()
    }
}

impl Proxy {
    fn parse(name: &str, value: &str) -> Result<Self, ImageError> {
        // The value may hold a password: it is never shown.
        let refused = |detail: &str| ImageError::Settings { setting: name.to_owned(), detail: detail.to_owned() };
        let full = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let uri: Uri = full.parse().map_err(|_| refused("it is no address such as http://proxy.example:3128"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("only http:// and https:// proxies are supported")),
        };
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        let host = host_of(authority.host()).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let authorization = match authority.as_str().rsplit_once('@') {
            Some((user, _)) => Some(basic(user).ok_or_else(|| refused("its user name cannot be sent"))?),
            None => None,
        };
        Ok(Self { tls, host, port, authorization })
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "" => return None,
            "*" => return Some(Self::All),
            _ => {}
        }
        if text.contains('/') {
            return Cidr::parse(&text).map(Self::Range);
        }
        let host = host_of(&text);
        let port = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").and_then(|(_, port)| port.parse().ok()),
            None if host == text => None,
            None => text.rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
        };
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        Some(Self::Domain { name: below.unwrap_or(host).to_owned(), below_only: below.is_some(), port })
    }

    fn covers(&self, host: &str, asked_port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Range(range) => host.parse().is_ok_and(|address| range.contains(address)),
            Self::Domain { name, below_only, port } => {
                let itself = host == name && !below_only;
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (itself || below) && port.is_none_or(|port| port == asked_port)
            }
        }
    }
}

/// A range of addresses.
pub(super) struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (network, bits) = text.split_once('/')?;
        let network: IpAddr = network.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if network.is_ipv4() { 32 } else { 128 }).then_some(Self { network, bits })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                let cut = |address: std::net::Ipv4Addr| u32::from(address).checked_shr(shift).unwrap_or(0);
                cut(network) == cut(address)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                let cut = |address: std::net::Ipv6Addr| u128::from(address).checked_shr(shift).unwrap_or(0);
                cut(network) == cut(address)
            }
            _ => false,
        }
    }
}

/// The header for the `user:password` of an address; a user without a password has an empty one.
pub(super) fn basic(user: &str) -> Option<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let pair = [&percent_decoded(name)[..], b":", &percent_decoded(password)[..]].concat();
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    crate::unpack::unescape(text).unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        let proxy = Some(Secret::new("http://u%40x:p@proxy.example:3128"));
        let config = ProxyConfig { http: proxy.clone(), https: proxy, no_proxy: Some(no_proxy.to_owned()) };
        Proxies::parse(&config).unwrap()
    }

    fn direct(no_proxy: &str, address: &str) -> bool {
        proxies(no_proxy).for_uri(&address.parse().unwrap()).is_none()
    }

    #[test]
    fn no_proxy_takes_hosts_domains_ports_and_ranges() {
        assert!(direct("a.example", "https://a.example/"));
        assert!(direct("a.example", "https://b.a.example/"));
        assert!(!direct("a.example", "https://ba.example/"));
        assert!(!direct(".a.example", "https://a.example/"));
        assert!(direct(".a.example", "https://b.a.example/"));
        assert!(direct("x, a.example:5000", "http://a.example:5000/"));
        assert!(!direct("a.example:5000", "http://a.example/"));
        assert!(direct("10.0.0.0/8,fd00::/8", "http://10.9.8.7:5000/"));
        assert!(direct("10.0.0.0/8,fd00::/8", "http://[fd00::1]:5000/"));
        assert!(!direct("10.0.0.0/8", "http://11.0.0.1/"));
        assert!(direct("*", "https://a.example/"));
        assert!(direct("0.0.0.0/0", "http://8.8.8.8/"));
    }

    #[test]
    fn loopback_never_takes_a_proxy() {
        assert!(direct("", "http://127.0.0.1:5000/"));
        assert!(direct("", "http://[::1]:5000/"));
        assert!(direct("", "http://localhost:5000/"));
        assert!(!direct("", "http://a.example/"));
    }

    #[test]
    fn a_proxy_password_becomes_a_header_and_never_an_error() {
        let all = proxies("");
        let proxy = all.for_uri(&"https://a.example/".parse().unwrap()).unwrap();
        let expected = base64::engine::general_purpose::STANDARD.encode("u@x:p");
        assert_eq!(proxy.authorization.as_ref().unwrap().to_str().unwrap(), format!("Basic {expected}"));
        let config = ProxyConfig { https: Some(Secret::new("socks5://user:hunter2@x")), ..ProxyConfig::default() };
        let error = Proxies::parse(&config).err().unwrap();
        assert!(!error.chain().contains("hunter2"));
    }
}
