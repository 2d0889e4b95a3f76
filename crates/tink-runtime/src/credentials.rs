//! Whose password goes to which registry.

use std::fmt;

use tink_workflow::ImageRef;

use crate::Secret;

/// User and password for exactly one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryCredentials {
    /// Host with port, as it stands in image names: `registry.example.com:5000`, `docker.io` for short names.
    pub registry: String,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl RegistryCredentials {
    /// Credentials for exactly `registry`.
    #[must_use]
    pub fn new(registry: impl Into<String>, username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { registry: registry.into(), username: username.into(), password: Secret::new(password) }
    }

    /// Whether they may be sent for `image`: only when its normalised registry is, byte for byte, the configured one.
    ///
    /// No case folding, no default ports, no schemes, no suffixes, no Unicode forms: a password that goes to one host
    /// too few is a failed pull with a clear message, one that goes to a host too many is lost.
    #[must_use]
    pub fn are_for(&self, image: &ImageRef) -> bool {
        !self.registry.is_empty() && self.registry == image.registry()
    }

    /// `text` with the password blotted out, for messages that an engine made.
    pub(crate) fn redact(&self, text: &str) -> String {
        match self.password.expose() {
            "" => text.to_owned(),
            password => text.replace(password, "***"),
        }
    }
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(image: &str, registry: &str) -> bool {
        let credentials = RegistryCredentials {
            registry: registry.to_owned(),
            username: "admin".to_owned(),
            password: Secret::new("hunter2"),
        };
        // An image that cannot be parsed is never pulled, so nothing is sent for it.
        ImageRef::parse(image).is_ok_and(|image| credentials.are_for(&image))
    }

    #[test]
    fn credentials_go_to_the_configured_registry() {
        for (image, registry) in [
            ("registry.example.com/namespace/image:tag", "registry.example.com"),
            ("registry.example.com:5000/image:tag", "registry.example.com:5000"),
            ("registry.example.com/deep/nested/path/image:tag", "registry.example.com"),
            ("localhost:5000/image:tag", "localhost:5000"),
            ("localhost/image", "localhost"),
            ("192.168.1.100:5000/image:tag", "192.168.1.100:5000"),
            ("[::1]/image:tag", "[::1]"),
            ("[::1]:5000/image:tag", "[::1]:5000"),
            ("[2001:db8::1]/image:tag", "[2001:db8::1]"),
            ("ubuntu:20.04", "docker.io"),
            ("ubuntu", "docker.io"),
            ("library/ubuntu:20.04", "docker.io"),
            ("username/image:tag", "docker.io"),
            ("docker.io/username/image:tag", "docker.io"),
            ("index.docker.io/username/image:tag", "docker.io"),
            ("registry.example.com:443/image:tag", "registry.example.com:443"),
        ] {
            assert!(sent(image, registry), "not sent for {image} with {registry}");
        }
    }

    #[test]
    fn credentials_go_nowhere_else() {
        for (image, registry) in [
            // What looks like the host, but is another.
            ("malicious-registry.example.com.evil.com/image:tag", "registry.example.com"),
            ("registry.example.com.evil:443/image:tag", "registry.example.com"),
            ("sub.registry.example.com/image:tag", "registry.example.com"),
            ("evil.registry.example.com/image:tag", "registry.example.com"),
            ("registr.example.com/image:tag", "registry.example.com"),
            ("registrу.example.com/image:tag", "registry.example.com"), // a Cyrillic у
            ("registry.example.com./image:tag", "registry.example.com"),
            ("example.com/image:tag", "registry.example.com"),
            // The host somewhere else in the name.
            ("evil.com/registry.example.com/image:tag", "registry.example.com"),
            ("evil.com/../registry.example.com/image:tag", "registry.example.com"),
            ("evil.com/image:registry.example.com", "registry.example.com"),
            ("registry.example.com@evil.com/image:tag", "registry.example.com"),
            // Ports are part of the host.
            ("registry.example.com:9999/image:tag", "registry.example.com:5000"),
            ("registry.example.com:80/image:tag", "registry.example.com:443"),
            ("registry.example.com:443/image:tag", "registry.example.com"),
            ("registry.example.com/image:tag", "registry.example.com:443"),
            ("[::1]:5000/image:tag", "[::1]"),
            // What is no registry in an image's name.
            ("registry.example.com/image:tag", "https://registry.example.com"),
            ("registry.example.com:5000/image:tag", "http://registry.example.com:5000"),
            ("registry.example.com/image:tag", "registry.example.com/"),
            ("registry.example.com/image:tag", "registry.example.com:abc"),
            ("[::1]/image:tag", "[::1:5000"),
            ("registry.example.com/image:tag", " registry.example.com"),
            ("registry.example.com/image:tag", ""),
            ("ubuntu", ""),
            ("", "registry.example.com"),
            ("", ""),
            // Case tells hosts apart.
            ("Registry.Example.Com/image:tag", "registry.example.com"),
            ("registry.example.com/image:tag", "Registry.Example.Com"),
            // Docker Hub has one name here.
            ("ubuntu:20.04", "registry.example.com"),
            ("ubuntu:20.04", "index.docker.io"),
            ("ubuntu:20.04", "registry-1.docker.io"),
            ("docker.io.evil.com/ubuntu", "docker.io"),
        ] {
            assert!(!sent(image, registry), "sent for {image} with {registry}");
        }
    }

    #[test]
    fn the_password_is_in_no_debug_print_and_no_redacted_text() {
        let credentials = RegistryCredentials {
            registry: "r".to_owned(),
            username: "admin".to_owned(),
            password: Secret::new("hunter2"),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
        assert_eq!(credentials.redact("GET http://admin:hunter2@r/v2/"), "GET http://admin:***@r/v2/");
    }
}
