//! YAML as Tinkerbell's users meet it: with positions for good errors, read and written as Go's libraries do.
//!
//! [`parse_documents`] turns text into [`Node`]s that know their line and column. A node is then read in one of three ways:
//!
//! - [`Node::go_string`], [`Node::go_int64`]: as `gopkg.in/yaml.v3` fills a Go field of that type (templates);
//! - [`Node::to_json`] with [`Dialect::Kubernetes`]: as `sigs.k8s.io/yaml` reads manifests, YAML 1.1 booleans included;
//! - [`Node::to_json`] with [`Dialect::Core`]: as `yaml.v3` reads a value of any type.
//!
//! [`to_yaml`] writes a JSON value byte for byte as `sigs.k8s.io/yaml` does.
//!
//! ```
//! use tink_yaml::{Bounds, Dialect, parse_documents, to_yaml};
//!
//! let documents = parse_documents("name: disk\nmode: 0644\nforce: yes\n", &Bounds::default())?;
//! let mode = documents[0].get("mode").unwrap();
//! assert_eq!((mode.line, mode.column), (2, 7));
//! assert_eq!(mode.go_string()?.as_deref(), Some("0644"));
//! let json = documents[0].to_json(Dialect::Kubernetes)?;
//! assert_eq!(to_yaml(&json), "force: true\nmode: 420\nname: disk\n");
//! # Ok::<(), tink_yaml::YamlError>(())
//! ```
//!
//! Limits: everything is bounded by [`Bounds`]; aliases are expanded under that budget, so a small text cannot become a
//! large tree. Comments are dropped. The parser does not stream: a text is read whole.

mod bounds;
mod emit;
mod error;
mod json;
mod merge;
mod node;
mod parse;
mod repair;
mod resolve;
mod scalar;
mod timestamp;

pub use bounds::Bounds;
pub use emit::to_yaml;
pub use error::{Problem, YamlError};
pub use json::Dialect;
pub use node::{Kind, Node, Style};
pub use parse::{First, parse_documents, parse_first};
