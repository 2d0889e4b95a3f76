//! From the bytes of a file to objects.

use tink_yaml::{Bounds, Node, YamlError, parse_documents};

use crate::fields::Document;
use crate::{API_VERSION, Hardware, Manifest, ManifestError, ManifestErrors, Problem, Template, WorkflowManifest, raw};

/// Bytes of a file, at most. An object of Kubernetes has at most 1.5 MiB.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Values in a file, at most: a machine has some fifty, and each value costs about a hundred bytes while it is read.
const NODES_MAX: usize = 500_000;

/// Lists inside lists, at most.
const LIST_DEPTH_MAX: usize = 4;

/// Reads the objects of a file: YAML documents, JSON, `kind: List`, or a Template's data.
///
/// `file` names the file in errors; the name of a Template's data that has no `name:` line comes from it.
/// Empty documents are passed over.
///
/// # Errors
/// Every problem at once, each with file, document, line, column, field, what was found and what is allowed. Kinds that
/// tink does not use are among them; [`ManifestErrors::skip_unsupported`] passes over these.
pub fn read_file(bytes: &[u8], file: &str) -> Result<Vec<Manifest>, ManifestErrors> {
    let one = |line, column, document, problem| {
        let (file, field) = (file.to_owned(), String::new());
        let error = ManifestError { file, document, line, column, field, problem };
        ManifestErrors { errors: vec![error], sound: Vec::new() }
    };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(one(1, 1, 1, Problem::TooLong { bytes: bytes.len(), max: FILE_BYTES_MAX }));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (sound, rest) = bytes.split_at(error.valid_up_to());
        let (line, column) = end_of(&String::from_utf8_lossy(sound));
        one(line, column, 1, Problem::NotUtf8 { found: rest.first().copied().unwrap_or_default() })
    })?;
    if let Some(template) = raw::template(text, file) {
        return Ok(vec![Manifest::Template(template)]);
    }
    let bounds = Bounds { text_bytes_max: FILE_BYTES_MAX, nodes_max: NODES_MAX, ..Bounds::default() };
    let documents = parse_documents(text, &bounds).map_err(|error| {
        let YamlError { line, column, problem } = error;
        one(line, column, document_of(text, line), Problem::Yaml(problem))
    })?;
    let mut reader = Reader::default();
    for (nth, root) in documents.iter().enumerate().filter(|(_, root)| !root.is_null()) {
        let mut document = Document::new(file, nth + 1);
        reader.object(&mut document, root, None, 0);
        reader.errors.append(&mut document.errors);
    }
    reader.finish().map_err(|errors| match errors {
        Some(errors) => errors,
        None => one(1, 1, 1, Problem::Empty),
    })
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    manifests: Vec<Manifest>,
    /// Kind, namespace and name of each, with its line.
    seen: std::collections::HashMap<(&'static str, String), usize>,
    errors: Vec<ManifestError>,
}

impl Reader {
    /// The objects; `None` as an error if there is nothing at all.
    fn finish(self) -> Result<Vec<Manifest>, Option<ManifestErrors>> {
        if !self.errors.is_empty() {
            return Err(Some(ManifestErrors { errors: self.errors, sound: self.manifests }));
        }
        if self.manifests.is_empty() {
            return Err(None);
        }
        Ok(self.manifests)
    }

    /// Reads an object, or the items of a list of objects. Items of a typed list may leave out what the list says.
    fn object(&mut self, document: &mut Document<'_>, root: &Node, item_of: Option<&str>, depth: usize) {
        if !root.is_mapping() {
            document.wrong(root, "", "an object with `apiVersion`, `kind`, `metadata` and `spec`");
            return;
        }
        let mut api_version = document.text(root, "apiVersion", "apiVersion");
        let mut kind = document.text(root, "kind", "kind");
        if let Some(item_kind) = item_of
            && api_version.is_empty()
            && kind.is_empty()
        {
            (api_version, kind) = (API_VERSION.to_owned(), item_kind.to_owned());
        }
        if api_version.is_empty() || kind.is_empty() {
            let field = if api_version.is_empty() { "apiVersion" } else { "kind" };
            let allowed = format!("{API_VERSION} with kind Hardware, Template or Workflow");
            document.error(root, field, Problem::Missing { allowed });
            return;
        }
        if let (API_VERSION | "v1", Some(item_kind)) = (api_version.as_str(), kind.strip_suffix("List")) {
            return self.list(document, root, Some(item_kind).filter(|kind| !kind.is_empty()), depth);
        }
        let before = document.errors.len();
        let manifest = match (api_version.as_str(), kind.as_str()) {
            (API_VERSION, "Hardware") => Hardware::read(document, root).map(Manifest::Hardware),
            (API_VERSION, "Template") => Some(Manifest::Template(Template::read(document, root))),
            (API_VERSION, "Workflow") => Some(Manifest::Workflow(WorkflowManifest::read(document, root))),
            _ => {
                document.error(root, "kind", Problem::Unsupported { api_version, kind });
                None
            }
        };
        if let Some(manifest) = manifest.filter(|_| document.errors.len() == before) {
            self.keep(document, root, manifest);
        }
    }

    fn list(&mut self, document: &mut Document<'_>, root: &Node, item_kind: Option<&str>, depth: usize) {
        match root.get("items") {
            Some(items) if items.is_sequence() && depth < LIST_DEPTH_MAX => {
                for item in items.items() {
                    self.object(document, item, item_kind, depth + 1);
                }
            }
            Some(items) if items.is_sequence() => document.wrong(items, "items", "objects, not lists in lists"),
            Some(items) => document.wrong(items, "items", "a list of objects"),
            None => document.error(root, "items", Problem::Missing { allowed: "a list of objects".to_owned() }),
        }
    }

    fn keep(&mut self, document: &mut Document<'_>, root: &Node, manifest: Manifest) {
        let kind = manifest.kind();
        let name = format!("{}/{}", manifest.metadata().namespace, manifest.metadata().name);
        if let Some(first_line) = self.seen.insert((kind, name.clone()), root.line) {
            document.error(root, "metadata.name", Problem::Twice { kind, name, first_line });
            return;
        }
        self.manifests.push(manifest);
    }
}

/// Line and column just behind `text`.
fn end_of(text: &str) -> (usize, usize) {
    let line = text.matches('\n').count() + 1;
    (line, text.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

/// The document that `line` belongs to, from 1.
fn document_of(text: &str, line: usize) -> usize {
    let mut number = 1;
    let mut content = false;
    for line in text.lines().take(line) {
        let separator = line == "---" || line.starts_with("--- ");
        if separator && content {
            number += 1;
        }
        content |= separator || (!line.trim().is_empty() && !line.starts_with(['#', '%']));
    }
    number
}
