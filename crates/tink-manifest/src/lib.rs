//! The files people already have: Hardware, Templates and Workflows as Kubernetes objects, or a Template's data alone.
//!
//! [`read_file`] takes the bytes of a file with any number of YAML documents (or JSON, or `kind: List`) of
//! `apiVersion: tinkerbell.org/v1alpha1` and gives [`Manifest`]s. A file without `apiVersion` that looks like a template is
//! taken for a Template's data. [`Manifest::to_json`] and [`Manifest::to_yaml`] write what was read.
//!
//! ```
//! use tink_manifest::{Manifest, read_file};
//!
//! let file = b"
//! apiVersion: tinkerbell.org/v1alpha1
//! kind: Workflow
//! metadata: {name: install}
//! spec:
//!   templateRef: ubuntu
//!   hardwareRef: machine1
//!   hardwareMap: {device_1: 08:00:27:00:00:01}
//! ";
//! let manifests = read_file(file, "workflow.yaml")?;
//! let Manifest::Workflow(workflow) = &manifests[0] else { panic!() };
//! assert_eq!((workflow.metadata.namespace.as_str(), workflow.template_ref.as_str()), ("default", "ubuntu"));
//! # Ok::<(), tink_manifest::ManifestErrors>(())
//! ```
//!
//! Limits: reads no file itself and resolves no reference; a Hardware object is checked only as far as tink uses it.
//! WorkflowRuleSets and objects of other API groups are refused with an error that says so.

mod error;
mod fields;
mod hardware;
mod kinds;
mod metadata;
mod names;
mod raw;
mod read;
mod template;
mod workflow;

pub use error::{ManifestError, ManifestErrors, Problem};
pub use hardware::Hardware;
pub use kinds::{API_VERSION, Manifest};
pub use metadata::Metadata;
pub use names::{is_dns_label, is_dns_subdomain};
pub use read::{FILE_BYTES_MAX, read_file};
pub use template::Template;
pub use workflow::WorkflowManifest;
